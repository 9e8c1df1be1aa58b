#!/usr/bin/env bash
# A model calls `save_file(path, text, functionName)` with the text of a JSON file. What does the tool get through LangChain's
# client of Ollama?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check langchain-ollama==1.1.0
cat >ask.py <<'PYTHON'
import http.server, json, threading
from importlib.metadata import version
import ollama
from langchain_ollama import ChatOllama

TEXTS = ['{"a": 1}', "[1, 2]", "{1: 'a'}", "12", "null", "[TODO] more"]

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        calls = [{"function": {"name": "save_file", "arguments": {"text": text, "functionName": "save_file"}}} for text in TEXTS]
        message = {"role": "assistant", "content": "", "tool_calls": calls}
        text = json.dumps({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": True, "done_reason": "stop"}) + "\n"
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
calls = ollama.Client(host=url).chat(model="m", messages=[{"role": "user", "content": "hi"}]).message.tool_calls
kept = all(call.function.arguments == {"text": text, "functionName": "save_file"} for call, text in zip(calls, TEXTS, strict=True))
print("ollama keeps them" if kept else "ollama changes them")
print("langchain-ollama", version("langchain-ollama"))
for call, text in zip(ChatOllama(model="m", base_url=url).invoke("hi").tool_calls, TEXTS, strict=True):
    print(f"{text!r} becomes {call['args']}")
PYTHON
export NO_PROXY='*' no_proxy='*'
timeout 60 venv/bin/python ask.py | tee seen
cat >expected <<'TEXT'
ollama keeps them
langchain-ollama 1.1.0
'{"a": 1}' becomes {'text': {'a': 1}}
'[1, 2]' becomes {'text': [1, 2]}
"{1: 'a'}" becomes {'text': {1: 'a'}}
'12' becomes {'text': '12'}
'null' becomes {'text': 'null'}
'[TODO] more' becomes {'text': '[TODO] more'}
TEXT
diff expected seen
