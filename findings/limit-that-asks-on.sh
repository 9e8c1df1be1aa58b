#!/usr/bin/env bash
# A model calls its tool again and again. The server lets it do so 60 times. How often do agent libraries ask it, at most?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check agno==3.1.10 openai==3.3.0 openai-agents==0.24.0
cat >ask.py <<'PYTHON'
import http.server, json, logging, sys, threading
from importlib.metadata import version

requests = runs = 0

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_POST(self):
        global requests
        self.rfile.read(int(self.headers["content-length"]))
        requests += 1
        call = {"id": f"call_{requests}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        message = {"content": "enough"} if requests == 60 else {"content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": "stop" if requests == 60 else "tool_calls"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        text = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"

def look() -> str:
    """Looks whether the job is done."""
    global runs
    runs += 1
    return "not yet"

def with_agno(**limit):
    from agno.agent import Agent
    from agno.models.openai.like import OpenAILike
    return Agent(model=OpenAILike(id="m", base_url=url, api_key="k"), tools=[look], **limit).run("hi").content

def with_agents(**limit):
    import agents, openai
    agents.set_tracing_disabled(True)
    model = agents.OpenAIChatCompletionsModel("m", openai.AsyncOpenAI(base_url=url, api_key="k"))
    agent = agents.Agent(name="a", model=model, tools=[agents.function_tool(look)])
    return agents.Runner.run_sync(agent, "hi", **limit).final_output

logging.disable()
asked = (("openai-agents", with_agents, {}), ("openai-agents", with_agents, {"max_turns": 3}), ("agno", with_agno, {}), ("agno", with_agno, {"tool_call_limit": 3}))
for package, ask, limit in asked:
    requests = runs = 0
    try:
        end = repr(ask(**limit))
    except Exception as error:
        end = type(error).__name__
    told = "".join(f", {key}={value}" for key, value in limit.items())
    print(f"{package} {version(package)}{told}: {requests} requests, {runs} runs of the tool, then {end}", file=sys.stderr)
PYTHON
export NO_PROXY='*' no_proxy='*' AGNO_TELEMETRY=false
timeout 100 venv/bin/python ask.py 2>all >/dev/null || { tail -n 5 all >&2; exit 1; }
grep ' requests, ' all | tee seen
cat >expected <<'TEXT'
openai-agents 0.24.0: 10 requests, 10 runs of the tool, then MaxTurnsExceeded
openai-agents 0.24.0, max_turns=3: 3 requests, 3 runs of the tool, then MaxTurnsExceeded
agno 3.1.10: 60 requests, 59 runs of the tool, then 'enough'
agno 3.1.10, tool_call_limit=3: 60 requests, 3 runs of the tool, then 'enough'
TEXT
diff expected seen
