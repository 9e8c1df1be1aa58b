#!/usr/bin/env bash
# A model says "Let me check." and calls a tool, in one streamed answer. What is the output of
# pydantic-ai's run_stream?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0 'pydantic-ai-slim[openai]==2.68.0'
cat >"$folder/run.py" <<'PYTHON'
import asyncio, http.server, importlib.metadata, json, threading
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "stock", "arguments": "{}"}}
asked = 0

class Upstream(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        global asked
        asked += 1
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        checked = any(message["role"] == "tool" for message in request["messages"])
        said, calls = ("There are 42 left.", []) if checked else ("Let me check.", [call])
        reason = "tool_calls" if calls else "stop"
        if not request.get("stream"):
            message = {"role": "assistant", "content": said, **({"tool_calls": calls} if calls else {})}
            choice = {"index": 0, "message": message, "finish_reason": reason}
            body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        deltas = [({"role": "assistant", "content": said}, None)]
        deltas += [({"tool_calls": calls}, None)] if calls else []
        for delta, end in deltas + [({}, reason)]:
            choice = {"index": 0, "delta": delta, "finish_reason": end}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()
provider = OpenAIProvider(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k")
agent, ran = Agent(OpenAIChatModel("m", provider=provider)), []

@agent.tool_plain
def stock() -> int:
    """How many are left."""
    ran.append("stock")
    return 42

async def main():
    global asked
    print("pydantic-ai-slim", importlib.metadata.version("pydantic-ai-slim"))
    output = (await agent.run("How many are left?")).output
    print(f"run: {output!r}; tool calls: {len(ran)}, requests: {asked}")
    ran.clear()
    asked = 0
    async with agent.run_stream("How many are left?") as result:
        output = await result.get_output()
    print(f"run_stream: {output!r}; tool calls: {len(ran)}, requests: {asked}")

asyncio.run(main())
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
pydantic-ai-slim 2.68.0
run: 'There are 42 left.'; tool calls: 1, requests: 2
run_stream: 'Let me check.'; tool calls: 1, requests: 1
TEXT
diff "$folder/expected" "$folder/seen"
