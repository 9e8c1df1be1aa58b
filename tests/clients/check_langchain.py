"""LangChain against Chorus: ChatOpenAI over both APIs, ChatOllama and OllamaLLM."""

import ollama
import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_ollama import ChatOllama, OllamaLLM
from langchain_openai import ChatOpenAI

from checks import *


def openai_chat(model):
    return ChatOpenAI(
        model=model, base_url=f"{CHORUS}/v1", api_key="any", max_retries=0, stream_usage=True
    )


def openai_responses(model):
    return openai_chat(model).model_copy(update={"use_responses_api": True})


def ollama_chat(model):
    return ChatOllama(model=model, base_url=CHORUS, reasoning=True)


def summary(message):
    """The reasoning of an answer over `/v1/responses`."""
    blocks = [block for block in message.content if block.get("type") == "reasoning"]
    return "".join(part["text"] for block in blocks for part in block.get("summary", []))


def thinking(message):
    return message.additional_kwargs.get("reasoning_content")


# What each shows of reasoning, and what it raises: ChatOpenAI drops the reasoning of a chat.
CHATS = [
    ("ChatOpenAI", "/v1/chat/completions", openai_chat, None, openai.APIError),
    ("ChatOpenAI", "/v1/responses", openai_responses, summary, openai.APIError),
    ("ChatOllama", "/api/chat", ollama_chat, thinking, ollama.ResponseError),
]


def joined(parts):
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    return whole


def answered(message, reasoning):
    same(message.text, ANSWER)
    used = message.usage_metadata
    same((used["input_tokens"], used["output_tokens"]), TOKENS)
    if reasoning:
        has(reasoning(message), THOUGHT)


def add(name, path, of, reasoning, broken):
    @check(path, f"{name}: plain")
    def plain(prompt):
        for model in BOTH:
            answered(of(model).invoke(prompt), reasoning)

    @check(path, f"{name}: streamed")
    def streamed(prompt):
        for model in BOTH:
            whole = joined(list(of(model).stream(prompt)))
            answered(whole, reasoning)
            if reasoning and model == "chorus":
                has(reasoning(whole), "worker talks: ok")

    @check(path, f"{name}: tools, there and back")
    def tools(prompt):
        for model in ("talks", "chorus"):
            chat = of(model).bind_tools([TOOL])
            for ask in (chat.invoke, lambda turns: joined(list(chat.stream(turns)))):
                asked = HumanMessage(prompt)
                message = ask([asked])
                [call] = message.tool_calls
                same((call["name"], call["args"]), ("weather", {"city": "Rome"}))
                result = ToolMessage(TOOL_RESULT, tool_call_id=call["id"], name="weather")
                same(ask([asked, message, result]).text, TOOL_ANSWER)

    @check(path, f"{name}: a failure before the answer")
    def refused(prompt):
        for ask in (of("refuses").invoke, lambda text: list(of("refuses").stream(text))):
            try:
                ask(prompt)
            except broken as error:
                same(error.status_code, 502)
                has(str(error), "on strike")
            else:
                raise AssertionError("raised nothing")
        same(endings(prompt), ["refused", "refused"])

    @check(path, f"{name}: a failure during the stream")
    def broke_off(prompt):
        pieces = []
        try:
            for part in of("cuts").stream(prompt):
                pieces.append(part.text)
        except broken as error:
            has(str(error), "cut off")
        else:
            raise AssertionError("raised nothing")
        same("".join(pieces), FIRST_PIECES)

    @check(path, f"{name}: a caller who leaves the stream")
    def leaves(prompt):
        stream = of("hangs").stream(prompt)
        next(part for part in stream if part.text)
        stream.close()
        hung_up_on(prompt)


for chat in CHATS:
    add(*chat)


@check("/api/generate", "OllamaLLM: plain and streamed")
def generate(prompt):
    for model in ("talks", "chorus"):
        llm = OllamaLLM(model=model, base_url=CHORUS)
        same(llm.invoke(prompt), ANSWER)
        same("".join(llm.stream(prompt)), ANSWER)


@check("/api/generate", "OllamaLLM: failures")
def generate_failures(prompt):
    for model, reason in (("refuses", "on strike"), ("cuts", "cut off")):
        llm = OllamaLLM(model=model, base_url=CHORUS)
        error = raised(ollama.ResponseError, lambda: list(llm.stream(prompt)))
        has(str(error), reason)


if __name__ == "__main__":
    run("langchain")
