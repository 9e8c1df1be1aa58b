#!/usr/bin/env bash
# An NDJSON answer in chunks breaks off. Which ways of reading its lines in Python tell?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check requests==2.34.2 httpx==0.28.1
cat >"$folder/run.py" <<'PYTHON'
import platform, socket, threading, urllib.request
import httpx, requests

LINES = b'{"response":"Hel"}\n{"response":"lo"}\n{"resp'

def serve(listener):
    while True:
        connection, _ = listener.accept()
        connection.recv(65536)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"%x\r\n%s\r\n" % (len(LINES), LINES))
        connection.close()

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[listener], daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}"

def with_httpx():
    with httpx.stream("GET", url) as response:
        yield from response.iter_lines()

ways = {
    "for line in urllib.request.urlopen": lambda: urllib.request.urlopen(url),
    "urllib.request.urlopen, read": lambda: urllib.request.urlopen(url).read().splitlines(),
    f"requests {requests.__version__}, iter_lines": lambda: requests.get(url, stream=True).iter_lines(),
    f"httpx {httpx.__version__}, iter_lines": with_httpx,
}
for name, lines in ways.items():
    seen = 0
    try:
        for _ in lines():
            seen += 1
        print(f"{name}: ends after {seen} lines")
    except Exception as error:
        print(f"{name}: {type(error).__name__}")
print("python", platform.python_version())
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/run.py" | tee "$folder/all"
grep -v '^python' "$folder/all" >"$folder/seen"
cat >"$folder/expected" <<'TEXT'
for line in urllib.request.urlopen: ends after 3 lines
urllib.request.urlopen, read: IncompleteRead
requests 2.34.2, iter_lines: ChunkedEncodingError
httpx 0.28.1, iter_lines: RemoteProtocolError
TEXT
diff "$folder/expected" "$folder/seen"
