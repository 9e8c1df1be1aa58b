#!/usr/bin/env bash
# Two servers have a model of the same name, and a program asks both the same question, at a temperature of 1. Who answers?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dspy==3.4.1 langchain-openai==1.7.4
cat >ask.py <<'PYTHON'
import http.server, json, sys, threading
from importlib.metadata import version

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.requests += 1
        message = {"role": "assistant", "content": f"I am {self.server.name}"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        text = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

def start(name):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.name, server.requests = name, 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

def with_dspy(url, key):
    import dspy
    return dspy.LM("openai/m", api_base=url, api_key=key, temperature=1.0)("who are you?")[0]

def with_langchain(url, key):
    from langchain_core.caches import InMemoryCache
    from langchain_core.globals import get_llm_cache, set_llm_cache
    from langchain_openai import ChatOpenAI
    set_llm_cache(get_llm_cache() or InMemoryCache())
    return ChatOpenAI(model="m", base_url=url, api_key=key, temperature=1.0).invoke("who are you?").text

for package, ask in (("dspy", with_dspy), ("langchain-openai", with_langchain)):
    servers = [start("one"), start("two")]
    said = [ask(f"http://127.0.0.1:{server.server_port}/v1", "key of " + server.name) for server in servers]
    print(f"{package} {version(package)}: {said}, {[server.requests for server in servers]} requests")
PYTHON
export NO_PROXY='*' no_proxy='*' LITELLM_LOCAL_MODEL_COST_MAP=True DSPY_CACHEDIR="$folder/cache"
timeout 60 venv/bin/python ask.py 2>log | tee seen || { tail -n 5 log >&2; exit 1; }
cat >expected <<'TEXT'
dspy 3.4.1: ['I am one', 'I am one'], [1, 0] requests
langchain-openai 1.7.4: ['I am one', 'I am two'], [1, 1] requests
TEXT
diff expected seen
