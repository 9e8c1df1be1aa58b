#!/usr/bin/env bash
# The server refuses with 400. What does a program get that prints the answer of its agent?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check agno==3.1.10 openai==3.3.0
cat >ask.py <<'PYTHON'
import http.server, json, logging, sys, threading
from importlib.metadata import version

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        text = json.dumps({"error": {"message": "the prompt is too long", "type": "invalid_request_error", "code": None}}).encode()
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
from agno.agent import Agent
from agno.models.openai.like import OpenAILike
logging.disable()
agent = Agent(model=OpenAILike(id="m", base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k"))
for way in ("whole", "streamed"):
    try:
        if way == "whole":
            run = agent.run("hi")
            got = f"content {run.content!r}, status {run.status.value}"
        else:
            got = [(event.event, getattr(event, "content", None)) for event in agent.run("hi", stream=True)]
    except Exception as error:
        got = f"raises {type(error).__name__}"
    print(f"agno {version('agno')}, {way}: {got}", file=sys.stderr)
PYTHON
export NO_PROXY='*' no_proxy='*' AGNO_TELEMETRY=false
timeout 60 venv/bin/python ask.py 2>all >/dev/null || { tail -n 5 all >&2; exit 1; }
grep '^agno' all | tee seen
cat >expected <<'TEXT'
agno 3.1.10, whole: content 'the prompt is too long', status ERROR
agno 3.1.10, streamed: [('RunError', 'the prompt is too long')]
TEXT
diff expected seen
