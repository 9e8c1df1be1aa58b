#!/usr/bin/env bash
# Google's API is written in camelCase. In which case does google-genai write a tool and a schema?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check google-genai==3.6.1
cat >"$folder/run.py" <<'PYTHON'
import http.server, importlib.metadata, json, threading
from typing import Union
from google import genai
from pydantic import BaseModel

def keys(value):
    if isinstance(value, dict):
        return {key for key in value}.union(*[keys(it) for it in value.values()], set())
    return set().union(*[keys(it) for it in value], set()) if isinstance(value, list) else set()

class Upstream(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        names = keys(request)
        print("camelCase:", ", ".join(sorted(name for name in names if name != name.lower())))
        print("snake_case:", ", ".join(sorted(name for name in names if "_" in name)))
        body = json.dumps({"candidates": [{"content": {"role": "model", "parts": [{"text": "{}"}]}, "finishReason": "STOP"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

class Answer(BaseModel):
    value: Union[int, str]

def weather(city: str) -> str:
    """The weather."""

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("google-genai", importlib.metadata.version("google-genai"))
client = genai.Client(api_key="k", http_options={"base_url": f"http://127.0.0.1:{server.server_port}"})
config = {"tools": [weather], "response_mime_type": "application/json", "response_schema": Answer, "max_output_tokens": 9}
client.models.generate_content(model="m", contents="hello", config=config)
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
google-genai 3.6.1
camelCase: functionDeclarations, generationConfig, maxOutputTokens, responseMimeType, responseSchema
snake_case: any_of, parameters_json_schema, response_json_schema
TEXT
diff "$folder/expected" "$folder/seen"
