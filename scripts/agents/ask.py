"""Asks Chorus once through an agent library, with a tool that runs a command.

    python ask.py AGENT URL PROMPT

AGENT is pydantic-ai, openai-agents, openai-agents-responses, langchain or langchain-ollama. Prints the answer; exits 1 with the exception's class and text where the library raises one.
"""

import asyncio
import os
import sys

agent, url, prompt = sys.argv[1:4]
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
openai = {"base_url": f"{url}/v1", "api_key": "any"}


def run_command(command: str) -> str:
    """Runs a command and returns what it prints."""
    return "hello-from-tool"


def with_pydantic_ai():
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("chorus", provider=OpenAIProvider(**openai))
    one = Agent(model, instructions="Be short.", system_prompt="You are kind.")
    one.tool_plain(run_command)
    return one.run_sync(prompt).output


def with_openai_agents(kind):
    import agents
    from openai import AsyncOpenAI

    agents.set_tracing_disabled(True)
    model = getattr(agents, kind)(model="chorus", openai_client=AsyncOpenAI(**openai))
    tools = [agents.function_tool(run_command)]
    one = agents.Agent(name="one", instructions="Be short.", tools=tools, model=model)

    async def ask():
        run = agents.Runner.run_streamed(one, prompt)
        async for _ in run.stream_events():
            pass
        return run.final_output

    return asyncio.run(ask())


def with_langchain(chat):
    from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
    from langchain_core.tools import tool

    model = chat.bind_tools([tool(run_command)])
    messages = [SystemMessage("You are kind."), SystemMessage("Be short."), HumanMessage(prompt)]
    for _ in range(4):
        answer = None
        for chunk in model.stream(messages):
            answer = chunk if answer is None else answer + chunk
        if not answer.tool_calls:
            return answer.content
        results = [ToolMessage(run_command(**it["args"]), tool_call_id=it["id"]) for it in answer.tool_calls]
        messages += [answer, *results]
    raise RuntimeError("calls its tool again and again")


def with_langchain_openai():
    from langchain_openai import ChatOpenAI

    return with_langchain(ChatOpenAI(model="chorus", **openai))


def with_langchain_ollama():
    from langchain_ollama import ChatOllama

    return with_langchain(ChatOllama(model="chorus", base_url=url))


ways = {
    "pydantic-ai": with_pydantic_ai,
    "openai-agents": lambda: with_openai_agents("OpenAIChatCompletionsModel"),
    "openai-agents-responses": lambda: with_openai_agents("OpenAIResponsesModel"),
    "langchain": with_langchain_openai,
    "langchain-ollama": with_langchain_ollama,
}
try:
    print(ways[agent]())
except Exception as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(1)
