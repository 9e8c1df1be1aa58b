"""An MCP server on stdin and stdout for test_agents.sh, with one tool: write_note writes written.txt.

    python3 notes_server.py FOLDER
"""

import json
import pathlib
import sys

TOOL = {
    "name": "write_note",
    "description": "Writes a note.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


def answer(method, parameters):
    if method == "initialize":
        about = {"name": "notes", "version": "1.0"}
        version = parameters.get("protocolVersion", "2025-06-18")
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        text = parameters["arguments"]["text"]
        (pathlib.Path(sys.argv[1]) / "written.txt").write_text(text + "\n")
        return {"content": [{"type": "text", "text": f"hello-from-mcp {text}"}]}
    return {} if method == "ping" else None


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        continue
    result = answer(message["method"], message.get("params") or {})
    said = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}), flush=True)
