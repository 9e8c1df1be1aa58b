"""The `openai` package for Python against Chorus."""

import json

import openai
from openai import OpenAI
from pydantic import BaseModel

from checks import *

client = OpenAI(base_url=f"{CHORUS}/v1", api_key="any", timeout=30)
FLAT_TOOL = {"type": "function"} | TOOL["function"]
CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"


class Weather(BaseModel):
    city: str
    degrees: int


def asks(prompt):
    return [{"role": "user", "content": prompt}]


def same_usage(usage, wanted=TOKENS):
    same((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (*wanted, sum(wanted)))


def same_responses_usage(usage):
    same((usage.input_tokens, usage.output_tokens, usage.total_tokens), (*TOKENS, sum(TOKENS)))


def refused(prompt, action):
    """A failure before the answer: told once, with its reason, and not tried again by the SDK."""
    error = raised(openai.InternalServerError, action)
    same((error.status_code, error.code, error.type), (502, "upstream_error", "api_error"))
    has(error.message, "on strike")
    assert error.request_id, "no request id"
    same(endings(prompt), ["refused"])


def broke_off(pieces, action):
    """A failure during a stream: what came before it arrived, then it was raised, readable."""
    error = raised(openai.APIError, action)
    same("".join(pieces), FIRST_PIECES)
    has(error.message, "cut off")
    return error


def timed_out(prompt, action):
    raised(openai.APITimeoutError, action)
    hung_up_on(prompt)


# -- /v1/chat/completions


@check(CHAT, "plain")
def chat_plain(prompt):
    reply = client.chat.completions.create(model="talks", messages=asks(prompt))
    same(reply.choices[0].message.content, ANSWER)
    same(reply.choices[0].message.reasoning_content, THOUGHT)
    same((reply.object, reply.model), ("chat.completion", "talks"))
    same(reply.choices[0].finish_reason, "stop")
    same_usage(reply.usage)


@check(CHAT, "plain, the workflow")
def chat_plain_workflow(prompt):
    reply = client.chat.completions.create(
        model="chorus", messages=asks(prompt), extra_body={"include_workflow": True}
    )
    same(reply.choices[0].message.content, ANSWER)
    same_usage(reply.usage)
    total = reply.chorus["total_usage"]
    same((total["prompt_tokens"], total["completion_tokens"], reply.chorus["calls"]), (*TOGETHER, 3))
    same(reply.workflow["mode"], "workflow")


def read_chat_stream(prompt, model):
    text, reasoning, reasons, usage = "", "", [], None
    ids = set()
    for chunk in client.chat.completions.create(
        model=model, messages=asks(prompt), stream=True, stream_options={"include_usage": True}
    ):
        ids.add(chunk.id)
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
    same((text, reasons, len(ids)), (ANSWER, ["stop"], 1))
    return reasoning, usage


@check(CHAT, "streamed")
def chat_streamed(prompt):
    reasoning, usage = read_chat_stream(prompt, "talks")
    same(reasoning, THOUGHT)
    same_usage(usage)


@check(CHAT, "streamed, the workflow")
def chat_streamed_workflow(prompt):
    reasoning, usage = read_chat_stream(prompt, "chorus")
    has(reasoning, THOUGHT)
    has(reasoning, "worker talks: ok")
    same_usage(usage)


@check(CHAT, "streamed without usage")
def chat_streamed_without_usage(prompt):
    chunks = list(client.chat.completions.create(model="talks", messages=asks(prompt), stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks), chunks


@check(CHAT, "streamed by the helper")
def chat_stream_helper(prompt):
    with client.chat.completions.stream(model="talks", messages=asks(prompt)) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    same("".join(deltas), ANSWER)
    same(final.choices[0].message.content, ANSWER)


def tool_round_trip(prompt, model, ask):
    messages = asks(prompt)
    message = ask(model, messages)
    call = message.tool_calls[0]
    same((len(message.tool_calls), call.type), (1, "function"))
    same((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "Rome"}))
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": TOOL_RESULT}]
    same(ask(model, messages).content, TOOL_ANSWER)


def ask_with_tool(model, messages):
    reply = client.chat.completions.create(model=model, messages=messages, tools=[TOOL])
    choice = reply.choices[0]
    same(choice.finish_reason, "tool_calls" if choice.message.tool_calls else "stop")
    return choice.message


def stream_with_tool(model, messages):
    with client.chat.completions.stream(model=model, messages=messages, tools=[TOOL]) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion().choices[0].message


@check(CHAT, "tools, there and back")
def chat_tools(prompt):
    tool_round_trip(prompt, "talks", ask_with_tool)


@check(CHAT, "tools, there and back, the workflow")
def chat_tools_workflow(prompt):
    tool_round_trip(prompt, "chorus", ask_with_tool)


@check(CHAT, "tools, there and back, streamed")
def chat_tools_streamed(prompt):
    tool_round_trip(prompt, "talks", stream_with_tool)


@check(CHAT, "tools, there and back, streamed, the workflow")
def chat_tools_streamed_workflow(prompt):
    tool_round_trip(prompt, "chorus", stream_with_tool)


@check(CHAT, "structured output")
def chat_structured(prompt):
    for model in ("talks", "chorus"):
        reply = client.chat.completions.parse(
            model=model, messages=asks(prompt), response_format=Weather
        )
        same(reply.choices[0].message.parsed, Weather(city="Rome", degrees=21))


@check(CHAT, "a request that is wrong")
def chat_bad_request(prompt):
    error = raised(
        openai.BadRequestError,
        lambda: client.chat.completions.create(model="talks", messages=asks(prompt), n=2),
    )
    same((error.code, error.param, error.type), ("invalid_request", "n", "invalid_request_error"))
    same(seen(prompt), [])


@check(CHAT, "a failure before the answer")
def chat_refused(prompt):
    refused(
        prompt,
        lambda: client.chat.completions.create(model="refuses", messages=asks(prompt)),
    )


@check(CHAT, "a failure before the stream")
def chat_refused_stream(prompt):
    refused(
        prompt,
        lambda: client.chat.completions.create(
            model="refuses", messages=asks(prompt), stream=True
        ),
    )


@check(CHAT, "a failure during the stream")
def chat_broke_off(prompt):
    pieces = []

    def read():
        for chunk in client.chat.completions.create(
            model="cuts", messages=asks(prompt), stream=True
        ):
            pieces.append(chunk.choices[0].delta.content or "")

    same(broke_off(pieces, read).code, "upstream_error")


@check(CHAT, "a wait that nobody sits out")
def chat_busy(prompt):
    error = raised(
        openai.RateLimitError,
        lambda: client.chat.completions.create(model="busy", messages=asks(prompt)),
    )
    same(error.response.headers["x-should-retry"], "false")
    has(error.message, "300 s")


@check(CHAT, "one connection for stream after stream")
def chat_keeps_its_connection(prompt):
    def connections_after(model):
        list(client.chat.completions.create(model=model, messages=asks(prompt), stream=True))
        return client._client._transport._pool.connections

    kept = connections_after("talks")
    for model in BOTH:
        same(connections_after(model), kept)


@check(CHAT, "a caller who leaves the stream")
def chat_aborted(prompt):
    stream = client.chat.completions.create(model="hangs", messages=asks(prompt), stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()
    hung_up_on(prompt)


@check(CHAT, "a caller who loses patience")
def chat_timed_out(prompt):
    impatient = client.with_options(timeout=1, max_retries=0)
    timed_out(
        prompt,
        lambda: impatient.chat.completions.create(model="silent", messages=asks(prompt)),
    )


# -- /v1/completions


@check(COMPLETIONS, "plain")
def completion_plain(prompt):
    for model in BOTH:
        reply = client.completions.create(model=model, prompt=prompt)
        same((reply.choices[0].text, reply.choices[0].finish_reason), (ANSWER, "stop"))
        same((reply.object, reply.model), ("text_completion", model))
        same_usage(reply.usage)


@check(COMPLETIONS, "plain, two prompts")
def completion_two_prompts(prompt):
    reply = client.completions.create(model="talks", prompt=[prompt, f"{prompt} again"])
    same([(choice.index, choice.text) for choice in reply.choices], [(0, ANSWER), (1, ANSWER)])
    same_usage(reply.usage, (18, 8))


@check(COMPLETIONS, "streamed")
def completion_streamed(prompt):
    for model in BOTH:
        text, reasons, usage = "", [], None
        for chunk in client.completions.create(
            model=model, prompt=prompt, stream=True, stream_options={"include_usage": True}
        ):
            same(chunk.object, "text_completion")
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.text
                reasons += [choice.finish_reason] if choice.finish_reason else []
        same((text, reasons), (ANSWER, ["stop"]))
        same_usage(usage)


@check(COMPLETIONS, "a failure before the answer")
def completion_refused(prompt):
    refused(prompt, lambda: client.completions.create(model="refuses", prompt=prompt))


@check(COMPLETIONS, "a failure before the stream")
def completion_refused_stream(prompt):
    refused(prompt, lambda: client.completions.create(model="refuses", prompt=prompt, stream=True))


@check(COMPLETIONS, "a failure during the stream")
def completion_broke_off(prompt):
    pieces = []

    def read():
        for chunk in client.completions.create(model="cuts", prompt=prompt, stream=True):
            pieces.append(chunk.choices[0].text)

    same(broke_off(pieces, read).code, "upstream_error")


@check(COMPLETIONS, "a caller who leaves the stream")
def completion_aborted(prompt):
    stream = client.completions.create(model="hangs", prompt=prompt, stream=True)
    next(chunk for chunk in stream if chunk.choices[0].text)
    stream.close()
    hung_up_on(prompt)


# -- /v1/responses


@check(RESPONSES, "plain")
def response_plain(prompt):
    for model in BOTH:
        reply = client.responses.create(model=model, instructions="Be brief.", input=prompt)
        same((reply.output_text, reply.status, reply.model), (ANSWER, "completed", model))
        same([item.type for item in reply.output], ["reasoning", "message"])
        has(reply.output[0].summary[0].text, THOUGHT)
        same_responses_usage(reply.usage)


@check(RESPONSES, "streamed")
def response_streamed(prompt):
    for model in BOTH:
        events = list(client.responses.create(model=model, input=prompt, stream=True))
        same([event.sequence_number for event in events], list(range(len(events))))
        kinds = [event.type for event in events]
        same(kinds[:2], ["response.created", "response.in_progress"])
        same(kinds[-1], "response.completed")
        deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
        same("".join(deltas), ANSWER)
        thoughts = [e.delta for e in events if e.type == "response.reasoning_summary_text.delta"]
        has("".join(thoughts), THOUGHT)
        same(events[-1].response.output_text, ANSWER)
        same_responses_usage(events[-1].response.usage)


@check(RESPONSES, "streamed by the helper")
def response_stream_helper(prompt):
    with client.responses.stream(model="talks", input=prompt) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    same(("".join(deltas), final.output_text), (ANSWER, ANSWER))


def only_call(reply):
    found = [item for item in reply.output if item.type == "function_call"]
    same([(call.name, json.loads(call.arguments)) for call in found], [("weather", {"city": "Rome"})])
    return found[0]


def tool_result(call):
    return {"type": "function_call_output", "call_id": call.call_id, "output": TOOL_RESULT}


@check(RESPONSES, "tools, there and back")
def response_tools(prompt):
    for model in ("talks", "chorus"):
        items = asks(prompt)
        reply = client.responses.create(model=model, input=items, tools=[FLAT_TOOL])
        call = only_call(reply)
        items += [*reply.output, tool_result(call)]
        reply = client.responses.create(model=model, input=items, tools=[FLAT_TOOL])
        same(reply.output_text, TOOL_ANSWER)


@check(RESPONSES, "tools, there and back by previous_response_id")
def response_tools_previous(prompt):
    first = client.responses.create(model="talks", input=prompt, tools=[FLAT_TOOL])
    second = client.responses.create(
        model="talks",
        input=[tool_result(only_call(first))],
        tools=[FLAT_TOOL],
        previous_response_id=first.id,
    )
    same((second.output_text, second.previous_response_id), (TOOL_ANSWER, first.id))


@check(RESPONSES, "tools, streamed")
def response_tools_streamed(prompt):
    for model in ("talks", "chorus"):
        with client.responses.stream(model=model, input=prompt, tools=[FLAT_TOOL]) as stream:
            events = list(stream)
            only_call(stream.get_final_response())
        ends = [e for e in events if e.type == "response.function_call_arguments.done"]
        same([json.loads(event.arguments) for event in ends], [{"city": "Rome"}])


@check(RESPONSES, "structured output")
def response_structured(prompt):
    for model in ("talks", "chorus"):
        reply = client.responses.parse(model=model, input=prompt, text_format=Weather)
        same(reply.output_parsed, Weather(city="Rome", degrees=21))


@check(RESPONSES, "a request that is wrong")
def response_bad_request(_prompt):
    error = raised(openai.BadRequestError, lambda: client.responses.create(model="talks"))
    has(error.message, "invalid request: missing input/messages/prompt/instructions")
    error = raised(
        openai.BadRequestError,
        lambda: client.responses.create(model="talks", input="x", previous_response_id="resp_no"),
    )
    same((error.code, error.param), ("previous_response_not_found", "previous_response_id"))


@check(RESPONSES, "a failure before the answer")
def response_refused(prompt):
    refused(prompt, lambda: client.responses.create(model="refuses", input=prompt))


@check(RESPONSES, "a failure before the stream")
def response_refused_stream(prompt):
    refused(prompt, lambda: client.responses.create(model="refuses", input=prompt, stream=True))


@check(RESPONSES, "a failure during the stream")
def response_broke_off(prompt):
    pieces = []

    def read():
        for event in client.responses.create(model="cuts", input=prompt, stream=True):
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)

    same(broke_off(pieces, read).code, "server_error")


@check(RESPONSES, "a caller who leaves the stream")
def response_aborted(prompt):
    stream = client.responses.create(model="hangs", input=prompt, stream=True)
    next(event for event in stream if event.type == "response.output_text.delta")
    stream.close()
    hung_up_on(prompt)


# -- the lists, and what is passed through


@check("/v1/models", "list")
def models_list(_prompt):
    models = list(client.models.list())
    same([model.id for model in models][:2], ["chorus", "talks"])
    assert all(model.object == "model" and model.created > 0 for model in models), models


@check("/v1/models/{id}", "show")
def models_retrieve(_prompt):
    for name in ("chorus", "talks", "lab/talks:8b"):
        model = client.models.retrieve(name)
        same((model.id, model.object, model.owned_by), (name, "model", "chorus"))


@check("/v1/models/{id}", "a name nobody knows")
def models_unknown(_prompt):
    error = raised(openai.NotFoundError, lambda: client.models.retrieve("nobody"))
    same((error.code, error.param), ("model_not_found", "model"))
    has(error.message, "nobody")


@check("/v1/embeddings", "plain")
def embeddings(_prompt):
    for encoding in ({}, {"encoding_format": "float"}):
        reply = client.embeddings.create(model="embeds", input=["one", "two"], **encoding)
        same([item.embedding for item in reply.data], [VECTOR, VECTOR])
        same(reply.usage.prompt_tokens, 5)


@check("/v1/embeddings", "not from a workflow")
def embeddings_workflow(_prompt):
    error = raised(
        openai.BadRequestError, lambda: client.embeddings.create(model="chorus", input="one")
    )
    same((error.code, error.param), ("invalid_request", "model"))


if __name__ == "__main__":
    run("openai-python")
