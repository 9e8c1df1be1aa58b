#!/usr/bin/env bash
# Small servers number their tool calls per answer: call_0 in every turn, or one id for two calls.
# Which agent libraries go on?
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

def call(number):
    return {"id": "call_0", "type": "function", "function": {"name": "add", "arguments": json.dumps({"a": number})}}

# the calls of each answer, before the last, which is text
TURNS = {
    "call_0 once": [[call(1)]],
    "call_0 in two turns": [[call(1)], [call(2)]],
    "call_0 twice in one answer": [[call(1), call(2)]],
}

class Upstream(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        turns = TURNS[request["model"]]
        turn = sum(message["role"] == "assistant" for message in request["messages"])
        message = {"role": "assistant", "content": None, "tool_calls": turns[turn]} if turn < len(turns) else {"role": "assistant", "content": "done"}
        reason = "tool_calls" if turn < len(turns) else "stop"
        answer = {
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
set_tracing_disabled(True)
ran = []

def add(a: int) -> str:
    """Adds."""
    ran.append(a)
    return "ok"

def with_pydantic(model):
    agent = PydanticAgent(OpenAIChatModel(model, provider=OpenAIProvider(base_url=url, api_key="k")))
    agent.tool_plain(add)
    return agent.run_sync("hello").output

def with_agents(model):
    chat = OpenAIChatCompletionsModel(model=model, openai_client=AsyncOpenAI(base_url=url, api_key="k"))
    return Runner.run_sync(Agent(name="a", tools=[function_tool(add)], model=chat), "hello").final_output

for package, run in [("pydantic-ai-slim", with_pydantic), ("openai-agents", with_agents)]:
    for model in TURNS:
        ran.clear()
        try:
            end = run(model)
        except Exception as error:
            end = type(error).__name__
        print(f"{package} {importlib.metadata.version(package)}, {model}: ran {ran}, then {end}")
PYTHON
timeout 100 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
pydantic-ai-slim 2.68.0, call_0 once: ran [1], then done
pydantic-ai-slim 2.68.0, call_0 in two turns: ran [1, 2], then done
pydantic-ai-slim 2.68.0, call_0 twice in one answer: ran [], then UnexpectedModelBehavior
openai-agents 0.24.0, call_0 once: ran [1], then done
openai-agents 0.24.0, call_0 in two turns: ran [1], then ModelBehaviorError
openai-agents 0.24.0, call_0 twice in one answer: ran [], then ModelBehaviorError
TEXT
diff "$folder/expected" "$folder/seen"
