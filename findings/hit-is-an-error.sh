#!/usr/bin/env bash
# litellm keeps answers in memory when it is told to. What does the second, same question get, when litellm was installed
# without its extras?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check litellm==1.110.2
cat >ask.py <<'PYTHON'
import http.server, json, threading
from importlib.metadata import version
import litellm
from litellm.caching.caching import Cache

requests = 0

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        global requests
        self.rfile.read(int(self.headers["content-length"]))
        requests += 1
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choices = [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]
        text = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
litellm.suppress_debug_info = True
litellm.cache = Cache(type="local")
for which in ("first", "second"):
    try:
        answer = litellm.completion(
            model="openai/m", api_base=f"http://127.0.0.1:{server.server_port}/v1", api_key="k",
            messages=[{"role": "user", "content": "hi"}], caching=True,
        )
        got = repr(answer.choices[0].message.content)
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
    print(f"litellm {version('litellm')}, {which} time: {got}, {requests} requests so far")
PYTHON
export NO_PROXY='*' no_proxy='*' LITELLM_LOCAL_MODEL_COST_MAP=True
timeout 60 venv/bin/python ask.py 2>log | tee seen || { tail -n 5 log >&2; exit 1; }
cat >expected <<'TEXT'
litellm 1.110.2, first time: 'hello', 1 requests so far
litellm 1.110.2, second time: ModuleNotFoundError: No module named 'fastapi', 1 requests so far
TEXT
diff expected seen
