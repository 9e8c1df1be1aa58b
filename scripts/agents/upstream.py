"""A model server on loopback for test_agents.sh. Prints its port; writes a line per call into a file.

    python3 upstream.py CALLS

It speaks OpenAI's chat protocol as four models: `small` judges and analyses, `w1` and `w2` draft,
`writer` writes. What they do stands in what the user says:

  %TOOL      the model that may call tools has one write the file written.txt, and then answers with the result
  %STEPS     the same, with four calls one after the other
  %MCP       the same with the MCP server's tool, see notes_server.py, which is looked for where tools are
  %RECALL    the answer has the word that stood behind %KEEP, in an earlier turn
  %LONG      every model refuses: the conversation is longer than its context
  %DIE       the writer answers 500, every time
  %CUT       the writer breaks off in the middle of its answer
  %HANG      the writer writes word after word, for 30 seconds; a line `left` says that it was hung up on
  %STRICT    more than one system message, or one that is not the first, is refused
  %THINKING  a call comes with a thought, and a history that has lost the thought is refused
  %EDIT      the answer is a file as aider takes it
"""

import http.server
import json
import re
import sys
import threading
import time

calls, lock = open(sys.argv[1], "a", buffering=1), threading.Lock()
FILE = "written.txt"
COMMAND = f"echo hello-from-tool | tee {FILE}"
SHELLS = ("bash", "shell", "exec_command", "run_shell_command", "run_command", "local_shell", "shell_command")


def text_of(content):
    if isinstance(content, list):
        return "\n".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content or ""


def refusal(request, said):
    """What a model answers before it begins, as status and error; None: it begins."""
    messages = request["messages"]
    systems = [at for at, it in enumerate(messages) if it["role"] in ("system", "developer")]
    calling = [it for it in messages if it["role"] == "assistant" and it.get("tool_calls")]
    if "%LONG" in said:
        words = "This model's maximum context length is 8192 tokens, your messages have 9999."
        return 400, {"message": words, "type": "invalid_request_error", "code": "context_length_exceeded"}
    if "%STRICT" in said and systems not in ([], [0]):
        return 400, {"message": "System message must be at the beginning."}
    if "%THINKING" in said and not all(it.get("reasoning_content") for it in calling):
        return 400, {"message": "The reasoning_content in the thinking mode must be passed back."}
    if "%DIE" in said and request["model"] == "writer":
        return 500, {"message": "the server had an error"}
    return None


def tool_of(tools, said, results):
    """The MCP server's tool where that is wanted, else the one that runs commands, or else the first one."""
    functions = [it["function"] for it in tools if it.get("type") == "function"]
    if "%MCP" in said:
        wanted = [it for it in functions if it["name"].endswith("write_note")]
        named = lambda *names: [it for it in functions if it["name"].lower() in names]
        found = any("write_note" in it for it in results) and named("tool_call")
        return (wanted or found or named("toolsearch", "tool_search") or [None])[0]
    exact = [it for it in functions if it["name"].lower() in SHELLS]
    alike = [it for it in functions if re.search("shell|bash|exec|command", it["name"], re.I)]
    return (exact or alike or functions or [None])[0]


def call_of(function):
    arguments = {}
    parameters = function.get("parameters") or {}
    for name, schema in parameters.get("properties", {}).items():
        if name in ("command", "cmd"):
            wrapped = ["sh", "-c", COMMAND]
            arguments[name] = wrapped if schema.get("type") == "array" else COMMAND
        elif name == "query":
            arguments[name] = "select:mcp__notes__write_note"
        elif name in parameters.get("required", []):
            arguments[name] = value_of(name, schema, function["name"] == "tool_call")
    called = {"name": function["name"], "arguments": json.dumps(arguments)}
    return {"index": 0, "id": f"call_{time.time_ns()}", "type": "function", "function": called}


def value_of(name, schema, calls_another):
    if calls_another and name in ("name", "arguments"):
        return "mcp__notes__write_note" if name == "name" else {"text": "hello"}
    if "enum" in schema:
        return schema["enum"][0]
    values = {"boolean": False, "number": 1, "integer": 1, "array": [], "object": {}}
    return values.get(schema.get("type"), "hello")


def deltas_of(request, said):
    """What an answer consists of, and its finish reason."""
    messages, everything = request["messages"], json.dumps(request)
    results = [text_of(it["content"]) for it in messages if it["role"] == "tool"]
    tools = request.get("tools") or []
    if request["model"] == "small":
        if "task_type" in everything:
            answer = json.dumps({"task_type": "question", "temperature": 0.3, "language": "en"})
        else:
            answer = json.dumps({"best": 1, "scores": {"1": 8, "2": 7}, "reason": "clear"})
        return [{"content": answer}], "stop"
    if "%MCP" in said:
        wanted = 0 if any("hello-from-mcp" in it for it in results) else 3
    else:
        wanted = 4 if "%STEPS" in said else 1 if "%TOOL" in said else 0
    function = tool_of(tools, said, results) if wanted > len(results) else None
    if function and request.get("tool_choice") != "none":
        return [{"reasoning_content": "I shall run it."}, {"tool_calls": [call_of(function)]}], "tool_calls"
    if "%EDIT" in said:
        return [{"content": f"{FILE}\n```\nhello-from-tool\n```\n"}], "stop"
    answer = f"This is the whole answer of {request['model']}."
    if results:
        answer += f" The tool said: {results[-1].strip()[-60:]}"
    kept = re.search(r"%KEEP (\w+)", said)
    if "%RECALL" in said and kept:
        answer += f" You said {kept.group(1)}."
    return [{"content": word + " "} for word in answer.split(" ")], "stop"


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def whole(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = "\n".join(text_of(it["content"]) for it in request["messages"] if it["role"] == "user")
        self.noted(request["model"])
        refused = refusal(request, said)
        if refused:
            return self.whole(refused[0], {"error": refused[1]})
        deltas, reason = deltas_of(request, said)
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        head = {"id": "c", "created": int(time.time()), "model": request["model"]}
        if not request.get("stream"):
            message = {"role": "assistant", "content": "".join(it.get("content", "") for it in deltas)}
            for delta in deltas:
                message |= {name: it for name, it in delta.items() if name != "content"}
            choices = [{"index": 0, "message": message, "finish_reason": reason}]
            return self.whole(200, head | {"object": "chat.completion", "choices": choices, "usage": usage})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        head["object"] = "chat.completion.chunk"
        if "%HANG" in said and request["model"] == "writer":
            return self.hang(head)
        chunks = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
        chunks.append([{"index": 0, "delta": {}, "finish_reason": reason}])
        for number, choices in enumerate(chunks):
            if "%CUT" in said and request["model"] == "writer" and number == 2:
                self.close_connection = True
                return
            self.event(json.dumps(head | {"choices": choices}))
        self.event(json.dumps(head | {"choices": [], "usage": usage}))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def hang(self, head):
        self.close_connection = True
        for number in range(300):
            delta = {"index": 0, "delta": {"content": f"{number} "}, "finish_reason": None}
            try:
                self.event(json.dumps(head | {"choices": [delta]}))
            except OSError:
                return self.noted("left")
            time.sleep(0.1)

    def noted(self, word):
        with lock:
            calls.write(word + "\n")

    def event(self, data):
        frame = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
