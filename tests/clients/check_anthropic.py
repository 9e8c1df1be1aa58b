"""The `anthropic` package for Python against Chorus."""

import anthropic
from anthropic import Anthropic

from checks import *

client = Anthropic(base_url=CHORUS, api_key="any", timeout=30)
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
THINKING = {"type": "adaptive"}
TOOLS = [{"name": "weather", "description": "Tells the weather", "input_schema": PARAMETERS}]


def asks(prompt):
    return [{"role": "user", "content": prompt}]


def create(model, messages, **more):
    return client.messages.create(model=model, max_tokens=100, messages=messages, **more)


def stream(model, messages, **more):
    return client.messages.stream(model=model, max_tokens=100, messages=messages, **more)


def texts(message, kind="text"):
    return "".join(getattr(block, kind) for block in message.content if block.type == kind)


def same_usage(usage):
    same((usage.input_tokens, usage.output_tokens), TOKENS)


@check(MESSAGES, "plain")
def plain(prompt):
    for model in BOTH:
        message = create(model, asks(prompt), thinking=THINKING)
        same((texts(message), texts(message, "thinking")), (ANSWER, THOUGHT))
        same((message.model, message.stop_reason), (model, "end_turn"))
        same_usage(message.usage)
        # Who does not ask for thoughts may read the first block.
        same(create(model, asks(prompt)).content[0].text, ANSWER)


@check(MESSAGES, "streamed")
def streamed(prompt):
    for model in BOTH:
        with stream(model, asks(prompt), thinking=THINKING) as events:
            pieces = "".join(event.text for event in events if event.type == "text")
            message = events.get_final_message()
        same((pieces, texts(message), message.stop_reason), (ANSWER, ANSWER, "end_turn"))
        has(texts(message, "thinking"), THOUGHT)
        same("worker talks: ok" in texts(message, "thinking"), model == "chorus")
        same_usage(message.usage)


@check(MESSAGES, "the record of a workflow")
def workflow(prompt):
    message = create("chorus", asks(prompt), extra_body={"include_workflow": True})
    total = message.chorus["total_usage"]
    same((total["prompt_tokens"], total["completion_tokens"], message.chorus["calls"]), (*TOGETHER, 3))
    same(message.workflow["mode"], "workflow")


@check(MESSAGES, "tools, there and back")
def tools(prompt):
    for model in BOTH:
        for whole in (True, False):
            messages = asks(prompt)
            for _ in range(2):
                if whole:
                    message = create(model, messages, tools=TOOLS, thinking=THINKING)
                else:
                    with stream(model, messages, tools=TOOLS, thinking=THINKING) as events:
                        message = events.get_final_message()
                calls = [block for block in message.content if block.type == "tool_use"]
                if not calls:
                    break
                same((message.stop_reason, len(calls)), ("tool_use", 1))
                same((calls[0].name, calls[0].input), ("weather", {"city": "Rome"}))
                result = {"type": "tool_result", "tool_use_id": calls[0].id, "content": TOOL_RESULT}
                messages += [
                    {"role": "assistant", "content": message.content},
                    {"role": "user", "content": [result]},
                ]
            same((texts(message), message.stop_reason), (TOOL_ANSWER, "end_turn"))


@check(MESSAGES, "a request that is wrong")
def bad_request(prompt):
    wrong = {"temperature": 3}
    error = raised(anthropic.BadRequestError, lambda: create("talks", asks(prompt), extra_body=wrong))
    same(error.body["error"]["type"], "invalid_request_error")
    has(error.message, "temperature")
    same(seen(prompt), [])


@check(MESSAGES, "a name nobody knows")
def unknown_model(prompt):
    error = raised(anthropic.NotFoundError, lambda: create("nobody", asks(prompt)))
    has(error.message, "nobody")


def refused(prompt, action):
    """A failure before the answer: once, with its reason, and not tried again by the SDK."""
    error = raised(anthropic.InternalServerError, action)
    same((error.status_code, error.body["error"]["type"]), (502, "api_error"))
    has(error.message, "on strike")
    same(error.request_id, error.body["request_id"])
    same(endings(prompt), ["refused"])


@check(MESSAGES, "a failure before the answer")
def refused_plain(prompt):
    refused(prompt, lambda: create("refuses", asks(prompt)))


@check(MESSAGES, "a failure before the stream")
def refused_stream(prompt):
    refused(prompt, lambda: create("refuses", asks(prompt), stream=True))


@check(MESSAGES, "a failure during the stream")
def broke_off(prompt):
    pieces = []

    def read():
        with stream("cuts", asks(prompt)) as events:
            pieces.extend(event.text for event in events if event.type == "text")

    error = raised(anthropic.APIStatusError, read)
    same("".join(pieces), FIRST_PIECES)
    has(error.message, "cut off")


@check(MESSAGES, "a wait that nobody sits out")
def busy(prompt):
    error = raised(anthropic.RateLimitError, lambda: create("busy", asks(prompt)))
    same(error.response.headers["x-should-retry"], "false")
    has(error.message, "300 s")


@check(MESSAGES, "a caller who leaves the stream")
def leaves(prompt):
    events = create("hangs", asks(prompt), stream=True)
    next(event for event in events if event.type == "content_block_delta")
    events.close()
    hung_up_on(prompt)


@check(COUNT, "a count without a model")
def count(prompt):
    counted = client.messages.count_tokens(model="claude-chorus", messages=asks(prompt), tools=TOOLS)
    assert 20 < counted.input_tokens < 120, counted
    same(seen(prompt), [])


@check("/v1/models", "Anthropic's form of the list")
def models(_prompt):
    names = [model.id for model in client.models.list(limit=2)]
    same(names[:3], ["claude-chorus", "chorus", "talks"])
    same(client.models.retrieve("lab/talks:8b").type, "model")


if __name__ == "__main__":
    run("anthropic-python")
