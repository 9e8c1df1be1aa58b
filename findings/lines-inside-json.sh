#!/usr/bin/env bash
# A server writes a line of JSON for each piece, as Ollama does, and leaves letters beyond ASCII as they are, as JSON.stringify
# does. One piece holds U+2028, LINE SEPARATOR. Which readers still see whole lines?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check ollama==0.6.3 requests==2.34.2
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts ollama@0.6.4 >>npm.log 2>&1
cat >client.mjs <<'NODE'
import { Ollama } from 'ollama';
const pieces = [];
const client = new Ollama({ host: process.argv[2] });
for await (const piece of await client.chat({ model: 'm', messages: [{ role: 'user', content: 'hi' }], stream: true })) pieces.push(piece.message.content);
console.log(`ollama 0.6.4 (npm): ${pieces.length} pieces`);
NODE
cat >ask.py <<'PYTHON'
import http.server, json, subprocess, threading
from importlib.metadata import version
import httpx, ollama, requests

def line(content, **more):
    return json.dumps({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": content}, "done": bool(more)} | more, ensure_ascii=False)

LINES = "\n".join((line("one\u2028two"), line("three"), line("", done_reason="stop"))) + "\n"

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        length = int(self.headers["content-length"] or 0)
        if length:
            self.rfile.read(length)
        else:  # the client of Node writes in chunks
            while int(self.rfile.readline(), 16):
                while self.rfile.readline() != b"\r\n":
                    pass
            self.rfile.readline()
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("content-length", str(len(LINES.encode())))
        self.end_headers()
        self.wfile.write(LINES.encode())

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url, body = f"http://127.0.0.1:{server.server_port}", {"model": "m"}

def with_httpx():
    with httpx.stream("POST", url, json=body) as response:
        return [json.loads(it) for it in response.iter_lines()]

ways = {
    "requests, iter_lines": lambda: [json.loads(it) for it in requests.post(url, json=body, stream=True).iter_lines()],
    "httpx, iter_lines": with_httpx,
    "ollama, chat": lambda: list(ollama.Client(host=url).chat(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)),
}
for way, ask in ways.items():
    try:
        seen = f"{len(ask())} pieces"
    except Exception as error:
        seen = type(error).__name__
    print(f"{way} {version(way.split(',')[0])}: {seen}", flush=True)
subprocess.run(["node", "client.mjs", url], check=True, timeout=60)
PYTHON
export NO_PROXY='*' no_proxy='*'
timeout 60 venv/bin/python ask.py | sed 's/^httpx, iter_lines [0-9.]*:/httpx, iter_lines:/' | tee seen
cat >expected <<'TEXT'
requests, iter_lines 2.34.2: 3 pieces
httpx, iter_lines: JSONDecodeError
ollama, chat 0.6.3: JSONDecodeError
ollama 0.6.4 (npm): 3 pieces
TEXT
diff expected seen
