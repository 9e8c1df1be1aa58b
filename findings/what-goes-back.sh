#!/usr/bin/env bash
# A model thinks, calls a tool, and sends state with the call. Which of it do two agent libraries
# give back with the tool's result?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openai==3.57.0 'pydantic-ai-slim[openai]==2.68.0' openai-agents==0.24.0
cat >"$folder/run.py" <<'PYTHON'
import http.server, importlib.metadata, json, threading
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

FIRST = {
    "role": "assistant", "content": None, "reasoning_content": "I must ask.",
    "tool_calls": [{
        "id": "call_1", "type": "function", "function": {"name": "ask", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }],
}
returned = None

class Upstream(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        global returned
        messages = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
        turns = [message for message in messages if message["role"] == "assistant"]
        returned = turns[0] if turns else None
        message, reason = ({"role": "assistant", "content": "done"}, "stop") if turns else (FIRST, "tool_calls")
        body = json.dumps({
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
set_tracing_disabled(True)

def ask() -> str:
    """Asks."""
    return "ok"

def with_pydantic():
    agent = PydanticAgent(OpenAIChatModel("m", provider=OpenAIProvider(base_url=url, api_key="k")))
    agent.tool_plain(ask)
    agent.run_sync("hello")

def with_agents():
    chat = OpenAIChatCompletionsModel(model="m", openai_client=AsyncOpenAI(base_url=url, api_key="k"))
    Runner.run_sync(Agent(name="a", tools=[function_tool(ask)], model=chat), "hello")

for package, run in [("pydantic-ai-slim", with_pydantic), ("openai-agents", with_agents)]:
    run()
    call = returned["tool_calls"][0]
    print(
        f"{package} {importlib.metadata.version(package)}:",
        f"the reasoning {'goes back' if 'reasoning_content' in returned else 'is dropped'},",
        f"the state on the call {'goes back' if 'extra_content' in call else 'is dropped'}",
    )
PYTHON
timeout 100 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
pydantic-ai-slim 2.68.0: the reasoning goes back, the state on the call goes back
openai-agents 0.24.0: the reasoning is dropped, the state on the call is dropped
TEXT
diff "$folder/expected" "$folder/seen"
