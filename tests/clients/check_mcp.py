"""The `mcp` package for Python against Chorus: over HTTP, and over the pipes of `chorus mcp`."""

import asyncio

from mcp import Client, StdioServerParameters

from checks import *

COMMAND, CONFIG = os.environ["CHORUS_COMMAND"], os.environ["CHORUS_CONFIG"]
PIPES = StdioServerParameters(command=COMMAND, args=["mcp", "--config", CONFIG])
DOORS = [(f"{CHORUS}/mcp", "auto"), (f"{CHORUS}/mcp", "legacy"), (PIPES, "auto"), (PIPES, "legacy")]


def each(action):
    """Does it with a client of each door and each way to begin."""

    async def all_of_them():
        for door, mode in DOORS:
            async with Client(door, mode=mode, read_timeout_seconds=30) as client:
                await action(client)

    asyncio.run(all_of_them())


def text(result):
    return "".join(block.text for block in result.content)


@check("/mcp", "the tools are listed")
def listed(prompt):
    async def action(client):
        same(client.server_info.name, "chorus")
        tools = (await client.list_tools()).tools
        same([tool.name for tool in tools], ["ask", "compare"])
        has(tools[0].description, "talks")

    each(action)


@check("/mcp", "ask, with progress")
def ask(prompt):
    async def action(client):
        told = []

        async def progress(progress, total, message):
            told.append((progress, message))

        result = await client.call_tool("ask", {"question": prompt}, progress_callback=progress)
        same((text(result), result.is_error), (ANSWER, False))
        same(result.meta["chorus"]["calls"], 3)
        has([message for _, message in told], "asking talks, also-talks")
        same([number for number, _ in told], sorted({number for number, _ in told}))

    each(action)


@check("/mcp", "compare")
def compare(prompt):
    async def action(client):
        arguments = {"question": prompt, "models": ["talks", "refuses"]}
        result = await client.call_tool("compare", arguments)
        same(result.is_error, False)
        has(text(result), ANSWER)
        has(text(result), "## refuses: ")

    each(action)


@check("/mcp", "what goes wrong is said in the result")
def wrong(prompt):
    async def action(client):
        result = await client.call_tool("ask", {"question": prompt, "model": "nobody"})
        same(result.is_error, True)
        has(text(result), "model_not_found")

    each(action)


@check("/mcp", "leaving hangs up upstream")
def leaving(prompt):
    async def action(client):
        before = len(seen(prompt))
        call = asyncio.create_task(client.call_tool("ask", {"question": prompt, "model": "hangs"}))
        while len(seen(prompt)) == before:
            await asyncio.sleep(0.02)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    each(action)
    same(endings(prompt), ["hung up"] * len(DOORS))


run("mcp-py")
