#!/usr/bin/env bash
# The ollama package turns Python functions into tools. What reaches the server of their types?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ollama==0.6.3
cat >"$folder/run.py" <<'PYTHON'
import http.server, importlib.metadata, json, threading
from typing import Literal, Union
import ollama
from pydantic import BaseModel

class Place(BaseModel):
    city: str
    country: str

def find(place: Place, unit: Literal["km", "mi"], ids: list[int], since: Union[int, str], limit: int = 5):
    """Finds.

    Args:
      place: where
      unit: of length
      ids: which
      since: when
      limit: how many
    """

class Upstream(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parameters = request["tools"][0]["function"]["parameters"]
        for name, schema in parameters["properties"].items():
            schema.pop("description")
            print(f"{name} arrives as {json.dumps(schema)}")
        print("required:", ", ".join(parameters["required"]))
        body = b'{"model":"m","message":{"role":"assistant","content":"ok"},"done":true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("ollama", importlib.metadata.version("ollama"))
client = ollama.Client(host=f"http://127.0.0.1:{server.server_port}")
client.chat("m", messages=[{"role": "user", "content": "hello"}], tools=[find])
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
ollama 0.6.3
place arrives as {"type": "string"}
unit arrives as {"type": "string"}
ids arrives as {"type": "array"}
since arrives as {"type": "integer, string"}
limit arrives as {"type": "integer"}
required: place, unit, ids, since, limit
TEXT
diff "$folder/expected" "$folder/seen"
