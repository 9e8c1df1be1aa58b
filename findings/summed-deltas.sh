#!/usr/bin/env bash
# What does the helper of openai-python make of fields that a server repeats on every chunk?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0
cat >"$folder/run.py" <<'PYTHON'
import http.server, json, threading
import openai

annotation = {"type": "url_citation", "url_citation": {"url": "a"}}
STREAMS = {
    "a role on every chunk": [{"role": "assistant", "content": word} for word in "abc"],
    "a flag and a count on every chunk": [{"content": word, "cached": True, "position": 10} for word in "abc"],
    "a list of objects on two chunks": [{"content": word, "annotations": [annotation]} for word in "ab"],
}

class Upstream(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        model = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["model"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        deltas = [(delta, None) for delta in STREAMS[model]] + [({}, "stop")]
        for delta, reason in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k", max_retries=0)
print("openai", openai.__version__)
for model in STREAMS:
    try:
        with client.chat.completions.stream(model=model, messages=[{"role": "user", "content": "hello"}]) as stream:
            message = stream.get_final_completion().choices[0].message
        kept = {"role": message.role, "content": message.content, **(message.model_extra or {})}
        kept.pop("parsed", None)
        print(f"{model}: {json.dumps(kept)}")
    except Exception as error:
        print(f"{model}: {type(error).__name__}")
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
openai 3.57.0
a role on every chunk: {"role": "assistantassistantassistant", "content": "abc"}
a flag and a count on every chunk: {"role": null, "content": "abc", "cached": 3, "position": 30}
a list of objects on two chunks: RuntimeError
TEXT
diff "$folder/expected" "$folder/seen"
