#!/usr/bin/env bash
# How often does litellm ask a server that always answers 500, when it was told `num_retries=3`, and what does it raise? The
# same program is run before and after `tenacity`, which it does not mention, is installed beside it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check litellm==1.110.2
cat >ask.py <<'PYTHON'
import http.server, importlib.util, json, threading
from importlib.metadata import version
import litellm

seen = []

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        seen.append(self.path)
        text = json.dumps({"error": {"message": "down", "type": "server_error", "code": None}}).encode()
        self.send_response(500)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.send_header("retry-after-ms", "1")  # so that nobody waits for long
        self.end_headers()
        self.wfile.write(text)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
litellm.suppress_debug_info = True
has = "with" if importlib.util.find_spec("tenacity") else "without"
for key in ("max_retries", "num_retries"):
    seen.clear()
    try:
        litellm.completion(
            model="openai/m", api_base=f"http://127.0.0.1:{server.server_port}/v1", api_key="k",
            messages=[{"role": "user", "content": "hi"}], **{key: 3},
        )
    except Exception as error:
        print(f"litellm {version('litellm')} {has} tenacity, {key}=3: {len(seen)} requests, then {type(error).__name__}")
PYTHON
export NO_PROXY='*' no_proxy='*' LITELLM_LOCAL_MODEL_COST_MAP=True
{
  timeout 60 venv/bin/python ask.py
  venv/bin/pip install --quiet --disable-pip-version-check tenacity==9.1.2
  timeout 60 venv/bin/python ask.py
} | tee seen
cat >expected <<'TEXT'
litellm 1.110.2 without tenacity, max_retries=3: 4 requests, then InternalServerError
litellm 1.110.2 without tenacity, num_retries=3: 4 requests, then Exception
litellm 1.110.2 with tenacity, max_retries=3: 4 requests, then InternalServerError
litellm 1.110.2 with tenacity, num_retries=3: 7 requests, then InternalServerError
TEXT
diff expected seen
