#!/usr/bin/env bash
# A finish reason that a library does not know, such as DeepSeek's documented `insufficient_system_resource` for an answer that
# broke off: `litellm` 1.106.2 makes `stop` of it, whole and streamed; `pydantic-ai` 2.68.0 makes None of it and hands out the
# half answer as the output; `langchain-openai` 1.7.4 passes it on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# They want different versions of the same packages.
python3 -m venv "$folder/one"
"$folder/one/bin/pip" install --quiet --disable-pip-version-check litellm==1.106.2
python3 -m venv "$folder/two"
"$folder/two/bin/pip" install --quiet --disable-pip-version-check 'pydantic-ai-slim[openai]==2.68.0' langchain-openai==1.7.4
export NO_PROXY='*' no_proxy='*' LITELLM_LOCAL_MODEL_COST_MAP=True
cat >"$folder/ask.py" <<'PYTHON'
import http.server, json, sys, threading
from importlib.metadata import version

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reason, head = request["model"].split("/")[-1], {"id": "c", "created": 1, "model": "m"}
        if request.get("stream"):
            deltas = (({"role": "assistant", "content": "half an"}, None), ({}, reason))
            chunks = [head | {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": d, "finish_reason": r}]} for d, r in deltas]
            text, kind = "".join(f"data: {json.dumps(it)}\n\n" for it in chunks) + "data: [DONE]\n\n", "text/event-stream"
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "half an"}, "finish_reason": reason}
            usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
            text, kind = json.dumps(head | {"object": "chat.completion", "choices": [choice], "usage": usage}), "application/json"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url, said = f"http://127.0.0.1:{server.server_port}/v1", [{"role": "user", "content": "hi"}]

good = True
def tell(package, how, got, want):
    global good
    good &= got == want
    print(f"{package} {version(package)}, {how}: {got!r}" + ("" if got == want else f" instead of {want!r}"))

for reason, known in (("length", True), ("insufficient_system_resource", False)):
    print(f"finish_reason {reason!r}:")
    if sys.argv[1] == "one":
        import litellm

        want = reason if known else "stop"
        arguments = dict(model="openai/" + reason, api_base=url, api_key="x", messages=said)
        tell("litellm", "whole", litellm.completion(**arguments).choices[0].finish_reason, want)
        tell("litellm", "streamed", [it.choices[0].finish_reason for it in litellm.completion(stream=True, **arguments)][-1], want)
        continue
    from langchain_openai import ChatOpenAI
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    run = Agent(OpenAIChatModel(reason, provider=OpenAIProvider(base_url=url, api_key="x"))).run_sync("hi")
    tell("pydantic-ai-slim", "whole", (run.output, run.all_messages()[-1].finish_reason), ("half an", reason if known else None))
    answer = ChatOpenAI(model=reason, base_url=url, api_key="x").invoke("hi")
    tell("langchain-openai", "whole", answer.response_metadata["finish_reason"], reason)
sys.exit(not good)
PYTHON
for which in one two; do
  "$folder/$which/bin/python" "$folder/ask.py" "$which" 2>"$folder/log" || { tail -n 3 "$folder/log" >&2; exit 1; }
done
