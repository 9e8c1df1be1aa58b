"""A model server that follows a script, chosen by the model's name, and remembers who hung up.

It speaks OpenAI's protocol under /v1, and of Ollama's what embeddings need.

  talks     answers: a tool call where tools are offered and no result is there yet, JSON where a
            format is asked for, else the ANSWER
  refuses   says 500 before anything else
  busy      says 429, to be asked again in five minutes
  cuts      says the first pieces of the ANSWER, then drops the connection
  hangs     says the first pieces, then nothing until it is hung up on
  silent    says nothing at all until it is hung up on

GET /seen lists the calls so far: {"model", "prompt", "end"}, where `end` is null while a call lasts,
then "answered", "refused", "cut" or "hung up".

Prints its own address on the first line. Standard library only.
"""

import base64
import json
import select
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = ["The sky ", "is blue: ", "蓝色", "."]
THOUGHT = "Blue scatters most."
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
VECTOR = [0.25, -0.5, 1.0]
JSON_ANSWER = '{"city": "Rome", "degrees": 21}'
TOOL_ARGUMENTS = ['{"ci', 'ty": "Rome"}']
LONGEST_SILENCE = 60  # seconds; a caller that stays longer than this has leaked

calls = []
calls_lock = threading.Lock()


def text_of(content):
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or ""


def last_user_text(body):
    if isinstance(body.get("prompt"), str):
        return body["prompt"]
    texts = [text_of(m.get("content")) for m in body.get("messages", []) if m["role"] == "user"]
    return texts[-1] if texts else ""


def wants_tool(body):
    answered = any(message["role"] == "tool" for message in body.get("messages", []))
    return bool(body.get("tools")) and body.get("tool_choice") != "none" and not answered


def answer_pieces(body):
    """What an answer consists of, as (field of the delta, value), and its finish reason."""
    if wants_tool(body):
        name = body["tools"][0]["function"]["name"]
        opener = {"name": name, "arguments": ""}
        pieces = [{"index": 0, "id": "call_upstream1", "type": "function", "function": opener}]
        pieces += [{"index": 0, "function": {"arguments": part}} for part in TOOL_ARGUMENTS]
        return [("tool_calls", [piece]) for piece in pieces], "tool_calls"
    if body.get("response_format", {}).get("type") in ("json_object", "json_schema"):
        return [("content", JSON_ANSWER[:9]), ("content", JSON_ANSWER[9:])], "stop"
    results = [text_of(m["content"]) for m in body.get("messages", []) if m["role"] == "tool"]
    if results:
        return [("content", "The tool said: "), ("content", results[-1])], "stop"
    return [("content", piece) for piece in ANSWER], "stop"


def whole(body):
    """A plain reply."""
    pieces, reason = answer_pieces(body)
    text = "".join(value for field, value in pieces if field == "content")
    reply = {"id": "up-1", "created": 1, "model": body["model"], "usage": USAGE}
    if "messages" not in body:
        choice = {"index": 0, "text": text, "finish_reason": reason}
        return reply | {"object": "text_completion", "choices": [choice]}
    message = {"role": "assistant", "content": text or None, "reasoning_content": THOUGHT}
    if reason == "tool_calls":
        function = {"name": body["tools"][0]["function"]["name"], "arguments": "".join(TOOL_ARGUMENTS)}
        message["tool_calls"] = [{"id": "call_upstream1", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return reply | {"object": "chat.completion", "choices": [choice]}


def chunks(body):
    """A streamed reply, chunk by chunk."""
    pieces, reason = answer_pieces(body)
    chat = "messages" in body
    envelope = {"id": "up-1", "created": 1, "model": body["model"]}
    envelope["object"] = "chat.completion.chunk" if chat else "text_completion"

    def chunk(delta, finish_reason=None):
        said = {"delta": delta} if chat else {"text": delta.get("content", "")}
        return envelope | {"choices": [{"index": 0, "finish_reason": finish_reason} | said]}

    if chat:
        yield chunk({"role": "assistant", "content": ""})
        yield chunk({"reasoning_content": THOUGHT})
    for field, value in pieces:
        yield chunk({field: value})
    yield chunk({}, reason)
    if (body.get("stream_options") or {}).get("include_usage"):
        yield envelope | {"choices": [], "usage": USAGE}


def opening_chunks(body):
    """A stream up to its second piece of text."""
    texts = 0
    for chunk in chunks(body):
        yield chunk
        choice = chunk["choices"][0] if chunk["choices"] else {}
        texts += bool(choice.get("text") or choice.get("delta", {}).get("content"))
        if texts == 2:
            return


def vectors(body, field):
    """An embedding for each input; base64 where OpenAI's SDKs ask for it."""
    inputs = body.get(field, [])
    inputs = inputs if isinstance(inputs, list) else [inputs]
    if body.get("encoding_format") == "base64":
        packed = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
        return [packed for _ in inputs]
    return [VECTOR for _ in inputs]


def embeddings(path, body):
    if path == "/v1/embeddings":
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors(body, "input"))
        ]
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return {"object": "list", "data": data, "model": body["model"], "usage": usage}
    if path == "/api/embeddings":
        return {"embedding": VECTOR}
    counts = {"total_duration": 5, "load_duration": 1, "prompt_eval_count": 5}
    return {"model": body["model"], "embeddings": vectors(body, "input")} | counts


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        with calls_lock:
            self.reply(200, calls if self.path == "/seen" else {"error": {"message": "no such page"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = {"model": body.get("model"), "prompt": last_user_text(body), "end": None}
        with calls_lock:
            calls.append(call)
        try:
            end = self.act(body)
        except (BrokenPipeError, ConnectionResetError):
            end = "hung up"
        if end in ("cut", "hung up"):
            self.close_connection = True
        with calls_lock:
            call["end"] = end

    def act(self, body):
        if "embed" in self.path:
            self.reply(200, embeddings(self.path, body))
            return "answered"
        if body["model"] == "refuses":
            self.reply(500, {"error": {"message": "the model is on strike", "type": "server_error"}})
            return "refused"
        if body["model"] == "busy":
            error = {"message": "too many requests", "type": "rate_limit_error"}
            self.reply(429, {"error": error}, {"Retry-After": "300"})
            return "refused"
        if body["model"] == "silent":
            return self.wait_for_hang_up()
        if not body.get("stream"):
            if body["model"] in ("cuts", "hangs"):
                return "cut" if body["model"] == "cuts" else self.wait_for_hang_up()
            self.reply(200, whole(body))
            return "answered"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if body["model"] in ("cuts", "hangs"):
            for chunk in opening_chunks(body):
                self.event(json.dumps(chunk))
            return "cut" if body["model"] == "cuts" else self.wait_for_hang_up()
        for chunk in chunks(body):
            self.event(json.dumps(chunk))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")
        return "answered"

    def reply(self, status, value, headers={}):
        payload = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(payload)

    def event(self, data):
        frame = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        self.wfile.flush()

    def wait_for_hang_up(self):
        readable, _, _ = select.select([self.connection], [], [], LONGEST_SILENCE)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            return "hung up"
        return "not hung up on"


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
