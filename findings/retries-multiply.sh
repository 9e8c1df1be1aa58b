#!/usr/bin/env bash
# Asked for three retries, how often do libraries ask a server that always answers 500? And how often when it adds the
# `x-should-retry: false` that the OpenAI SDKs heed?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# Apart, since they want different versions of the same packages.
python3 -m venv llama
llama/bin/pip install --quiet --disable-pip-version-check llama-index-llms-openai-like==0.8.1
python3 -m venv agno
agno/bin/pip install --quiet --disable-pip-version-check agno==3.1.10 openai==3.3.0
cat >ask.py <<'PYTHON'
import http.server, json, logging, sys, threading
from importlib.metadata import version

seen, stop = [], False

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
        if stop:
            self.send_header("x-should-retry", "false")
        self.end_headers()
        self.wfile.write(text)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"

def count(ask):
    global stop
    counts = []
    for stop in (False, True):
        seen.clear()
        try:
            ask()
        except Exception:
            pass
        counts.append(len(seen))
    return "{} requests, {} with x-should-retry: false".format(*counts)

if sys.argv[1] == "agno":
    from agno.agent import Agent
    from agno.models.openai.like import OpenAILike
    package = "agno"
    agent = Agent(model=OpenAILike(id="m", base_url=url, api_key="k", retries=3, delay_between_retries=0))
    ways = {"retries=3": lambda: agent.run("hi")}
else:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike
    package, said = "llama-index-llms-openai-like", [ChatMessage(role="user", content="hi")]
    model = OpenAILike(model="m", api_base=url, api_key="k", is_chat_model=True, max_retries=3)
    ways = {"max_retries=3, chat": lambda: model.chat(said), "max_retries=3, stream_chat": lambda: list(model.stream_chat(said))}
logging.disable()
for way, ask in ways.items():
    print(f"{package} {version(package)}, {way}: {count(ask)}", file=sys.stderr)
PYTHON
export NO_PROXY='*' no_proxy='*' AGNO_TELEMETRY=false
for name in llama agno; do
  timeout 60 "$name/bin/python" ask.py "$name" 2>all >/dev/null || { tail -n 5 all >&2; exit 1; }
  grep requests, all || { tail -n 5 all >&2; exit 1; }
done | tee seen
cat >expected <<'TEXT'
llama-index-llms-openai-like 0.8.1, max_retries=3, chat: 12 requests, 3 with x-should-retry: false
llama-index-llms-openai-like 0.8.1, max_retries=3, stream_chat: 4 requests, 1 with x-should-retry: false
agno 3.1.10, retries=3: 12 requests, 4 with x-should-retry: false
TEXT
diff expected seen
