"""The `ollama` package for Python against Chorus."""

import json

import ollama

from checks import *

client = ollama.Client(host=CHORUS, timeout=30)
CHAT, GENERATE = "/api/chat", "/api/generate"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
}
WEATHER = {"city": "Rome", "degrees": 21}


def asks(prompt):
    return [{"role": "user", "content": prompt}]


def ended(last):
    """The last object of an answer has its counters and durations."""
    same((last.done, last.done_reason), (True, "stop"))
    same((last.prompt_eval_count, last.eval_count), TOKENS)
    assert last.total_duration >= 0 and last.load_duration >= 0, last
    assert last.prompt_eval_duration >= 0 and last.eval_duration >= 1, last


def refused(prompt, action):
    error = raised(ollama.ResponseError, action)
    same(error.status_code, 502)
    assert isinstance(error.error, str), error.error
    has(error.error, "on strike")
    same(endings(prompt), ["refused"])


def broke_off(pieces, action):
    error = raised(ollama.ResponseError, action)
    same("".join(pieces), FIRST_PIECES)
    assert isinstance(error.error, str), error.error
    has(error.error, "cut off")


# -- /api/chat


@check(CHAT, "plain")
def chat_plain(prompt):
    for model in BOTH:
        reply = client.chat(model=model, messages=asks(prompt))
        same((reply.message.role, reply.message.content, reply.model), ("assistant", ANSWER, model))
        has(reply.message.thinking, THOUGHT)
        ended(reply)


@check(CHAT, "streamed")
def chat_streamed(prompt):
    for model in BOTH:
        parts = list(client.chat(model=model, messages=asks(prompt), stream=True))
        same("".join(part.message.content for part in parts), ANSWER)
        thinking = "".join(part.message.thinking or "" for part in parts)
        has(thinking, THOUGHT)
        same("worker talks: ok" in thinking, model == "chorus")
        same([part.done for part in parts], [False] * (len(parts) - 1) + [True])
        ended(parts[-1])


@check(CHAT, "without thinking")
def chat_without_thinking(prompt):
    parts = list(client.chat(model="chorus", messages=asks(prompt), stream=True, think=False))
    same([part.message.thinking for part in parts if part.message.thinking], [])


def tool_round_trip(model, messages, ask):
    message = ask(model, messages)
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls]
    same(calls, [("weather", {"city": "Rome"})])
    result = {"role": "tool", "tool_name": "weather", "content": TOOL_RESULT}
    same(ask(model, [*messages, message, result]).content, TOOL_ANSWER)


def ask_with_tool(model, messages):
    return client.chat(model=model, messages=messages, tools=[TOOL]).message


def stream_with_tool(model, messages):
    message = ollama.Message(role="assistant", content="")
    for part in client.chat(model=model, messages=messages, tools=[TOOL], stream=True):
        message.content += part.message.content
        message.tool_calls = part.message.tool_calls or message.tool_calls
    return message


@check(CHAT, "tools, there and back")
def chat_tools(prompt):
    tool_round_trip("talks", asks(prompt), ask_with_tool)


@check(CHAT, "tools, there and back, the workflow")
def chat_tools_workflow(prompt):
    tool_round_trip("chorus", asks(prompt), ask_with_tool)


@check(CHAT, "tools, there and back, streamed")
def chat_tools_streamed(prompt):
    for model in ("talks", "chorus"):
        tool_round_trip(model, asks(prompt), stream_with_tool)


@check(CHAT, "structured output")
def chat_structured(prompt):
    for model in ("talks", "chorus"):
        for form in (SCHEMA, "json"):
            reply = client.chat(model=model, messages=asks(prompt), format=form)
            same(json.loads(reply.message.content), WEATHER)


@check(CHAT, "a request that is wrong")
def chat_bad_request(prompt):
    error = raised(
        ollama.ResponseError,
        lambda: client.chat(model="talks", messages=[{"role": "robot", "content": prompt}]),
    )
    same(error.status_code, 400)
    has(error.error, "messages[0].role")
    same(seen(prompt), [])


@check(CHAT, "a failure before the answer")
def chat_refused(prompt):
    refused(prompt, lambda: client.chat(model="refuses", messages=asks(prompt)))


@check(CHAT, "a failure before the stream")
def chat_refused_stream(prompt):
    refused(
        prompt, lambda: list(client.chat(model="refuses", messages=asks(prompt), stream=True))
    )


@check(CHAT, "a failure during the stream")
def chat_broke_off(prompt):
    pieces = []

    def read():
        for part in client.chat(model="cuts", messages=asks(prompt), stream=True):
            pieces.append(part.message.content)

    broke_off(pieces, read)


@check(CHAT, "a caller who leaves the stream")
def chat_aborted(prompt):
    stream = client.chat(model="hangs", messages=asks(prompt), stream=True)
    next(part for part in stream if part.message.content)
    stream.close()
    hung_up_on(prompt)


# -- /api/generate


@check(GENERATE, "plain")
def generate_plain(prompt):
    for model in BOTH:
        reply = client.generate(model=model, prompt=prompt)
        same((reply.response, reply.model, reply.thinking), (ANSWER, model, None))
        ended(reply)


@check(GENERATE, "streamed")
def generate_streamed(prompt):
    for model in BOTH:
        parts = list(client.generate(model=model, prompt=prompt, stream=True, think=True))
        same("".join(part.response for part in parts), ANSWER)
        has("".join(part.thinking or "" for part in parts), THOUGHT)
        ended(parts[-1])


@check(GENERATE, "structured output")
def generate_structured(prompt):
    for model in ("talks", "chorus"):
        reply = client.generate(model=model, prompt=prompt, format=SCHEMA)
        same(json.loads(reply.response), WEATHER)


@check(GENERATE, "load and unload")
def generate_load(_prompt):
    for keep_alive, reason in (("5m", "load"), (0, "unload")):
        reply = client.generate(model="talks", keep_alive=keep_alive)
        same((reply.response, reply.done, reply.done_reason), ("", True, reason))


@check(GENERATE, "a failure before the answer")
def generate_refused(prompt):
    refused(prompt, lambda: client.generate(model="refuses", prompt=prompt))


@check(GENERATE, "a failure before the stream")
def generate_refused_stream(prompt):
    refused(prompt, lambda: list(client.generate(model="refuses", prompt=prompt, stream=True)))


@check(GENERATE, "a failure during the stream")
def generate_broke_off(prompt):
    pieces = []

    def read():
        for part in client.generate(model="cuts", prompt=prompt, stream=True):
            pieces.append(part.response)

    broke_off(pieces, read)


@check(GENERATE, "a caller who leaves the stream")
def generate_aborted(prompt):
    stream = client.generate(model="hangs", prompt=prompt, stream=True)
    next(part for part in stream if part.response)
    stream.close()
    hung_up_on(prompt)


# -- the lists, and what is passed through


@check("/api/tags", "list")
def tags(_prompt):
    models = client.list().models
    same([model.model for model in models][:2], ["chorus", "talks"])
    for model in models:
        same((len(model.digest), model.details.format), (64, "chorus"))
        assert model.size >= 0 and model.modified_at, model


@check("/api/show", "show")
def show(_prompt):
    for name in ("chorus", "talks", "lab/talks:8b"):
        reply = client.show(name)
        same(reply.modelinfo["general.architecture"], "chorus")
        same(reply.modelinfo["general.basename"], name)
        assert reply.modelinfo["chorus.context_length"] > 0, reply.modelinfo
        assert {"completion", "tools"} <= set(reply.capabilities), reply.capabilities
        assert reply.details and reply.modified_at, reply


@check("/api/show", "a name nobody knows")
def show_unknown(_prompt):
    error = raised(ollama.ResponseError, lambda: client.show("nobody"))
    same(error.status_code, 404)
    has(error.error, "model 'nobody' not found; there are: chorus, talks")


@check("/api/ps", "list")
def ps(_prompt):
    for model in client.ps().models:
        assert model.model and model.digest and model.expires_at, model


@check("/api/embed", "plain")
def embed(_prompt):
    reply = client.embed(model="embeds-ollama", input=["one", "two"])
    same([list(vector) for vector in reply.embeddings], [VECTOR, VECTOR])


@check("/api/embed", "not from a workflow")
def embed_workflow(_prompt):
    error = raised(ollama.ResponseError, lambda: client.embed(model="chorus", input="one"))
    same(error.status_code, 400)
    assert isinstance(error.error, str), error.error


@check("/api/embeddings", "plain")
def embeddings(_prompt):
    same(list(client.embeddings(model="embeds-ollama", prompt="one").embedding), VECTOR)


@check("/api/pull", "and all else that is not offered")
def not_offered(_prompt):
    # Many times over one connection: a refusal must not leave it broken for the next request.
    for action in 20 * (
        lambda: client.pull("talks"),
        lambda: list(client.pull("talks", stream=True)),
        lambda: client.push("talks"),
        lambda: client.create("mine", from_="talks"),
        lambda: client.copy("talks", "mine"),
        lambda: client.delete("talks"),
    ):
        error = raised(ollama.ResponseError, action)
        same(error.status_code, 501)
        assert isinstance(error.error, str), error.error


if __name__ == "__main__":
    run("ollama-python")
