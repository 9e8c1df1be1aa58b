#!/usr/bin/env bash
# A stream ends in the middle of the JSON that was asked for, politely and without a finish reason.
# What does a loop over instructor's create_partial end with?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check instructor==1.17.0 openai==2.54.0
cat >"$folder/run.py" <<'PYTHON'
import http.server, importlib.metadata, json, threading
import instructor, openai
from pydantic import BaseModel

TEXTS = {
    "cut before the last brace": ['{"payee": "Ann', ' Miller", "amount": 1200'],
    "cut inside a number": ['{"payee": "Ann Miller", "amou', 'nt": 12'],
    "cut inside a word": ['{"amount": 1200, ', '"payee": "Ann Mil'],
}

class Upstream(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        model = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["model"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for text in TEXTS[model]:
            choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

class Payment(BaseModel):
    payee: str
    amount: int

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
client = instructor.from_openai(openai.OpenAI(base_url=url, api_key="k"), mode=instructor.Mode.JSON)
print("instructor", importlib.metadata.version("instructor"))
for model in TEXTS:
    last = None
    try:
        for last in client.chat.completions.create_partial(
            model=model, response_model=Payment, messages=[{"role": "user", "content": "hello"}]
        ):
            pass
        print(f"{model}: the loop ends with {last!r}")
    except Exception as error:
        print(f"{model}: {type(error).__name__} after {last!r}")
PYTHON
timeout 100 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
instructor 1.17.0
cut before the last brace: the loop ends with Payment(payee='Ann Miller', amount=1200)
cut inside a number: the loop ends with Payment(payee='Ann Miller', amount=12)
cut inside a word: the loop ends with Payment(payee='Ann Mil', amount=1200)
TEXT
diff "$folder/expected" "$folder/seen"
