#!/usr/bin/env bash
# Two tools of an MCP server take a text; for one of them it is optional. What do they get when the text is JSON?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mcp==2.3.0
cat >"$folder/run.py" <<'PYTHON'
import asyncio, logging
from importlib.metadata import version
from mcp import Client
from mcp.server import MCPServer

logging.disable()
server = MCPServer("notes")

@server.tool()
def required(text: str) -> str:
    return repr(text)

@server.tool()
def optional(text: str | None = None) -> str:
    return repr(text)

async def main():
    print("mcp", version("mcp"))
    async with Client(server) as client:
        for text in ("a note", "12", '{"a": 1}', "[1, 2]", "null"):
            got = {}
            for tool in ("required", "optional"):
                result = await client.call_tool(tool, {"text": text})
                got[tool] = "an error" if result.is_error else result.content[0].text
            print(f"{text}: required gets {got['required']}, optional gets {got['optional']}")

asyncio.run(main())
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/seen"
cat >"$folder/expected" <<'TEXT'
mcp 2.3.0
a note: required gets 'a note', optional gets 'a note'
12: required gets '12', optional gets '12'
{"a": 1}: required gets '{"a": 1}', optional gets an error
[1, 2]: required gets '[1, 2]', optional gets an error
null: required gets 'null', optional gets None
TEXT
diff "$folder/expected" "$folder/seen"
