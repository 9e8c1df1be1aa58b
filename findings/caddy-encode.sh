#!/usr/bin/env bash
# `encode gzip` in Caddy leaves small event streams alone. What happens to one whose first event has
# 512 bytes and more?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p lists/partial cache/archives/partial package
apt_in_here() { apt-get -qq -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User=root "$@" >>apt.log 2>&1; }
apt_in_here update
apt_in_here download caddy=2.6.2-5
dpkg-deb -x caddy_*.deb package
cat >run.py <<'PYTHON'
import os, pathlib, socket, subprocess, threading, time

folder, first = pathlib.Path.cwd(), 0

def free():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]

def answer(connection):  # eight events in two seconds
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n")
    for number in range(8):
        data = b"data: " + b"x" * (first if number == 0 else 20) + b"\n\n"
        connection.sendall(data)
        time.sleep(0.25)
    connection.close()

def serve(listener):
    while True:
        answer(listener.accept()[0])

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[listener], daemon=True).start()
caddy = folder / "package/usr/bin/caddy"
front = free()
config = folder / "Caddyfile"
config.write_text(
    "{\nadmin off\nauto_https off\n}\n"
    f"http://127.0.0.1:{front} {{\nencode gzip\nreverse_proxy 127.0.0.1:{listener.getsockname()[1]}\n}}\n"
)
environment = dict(os.environ, XDG_CONFIG_HOME=str(folder), XDG_DATA_HOME=str(folder))
print("caddy", subprocess.run([caddy, "version"], capture_output=True, text=True).stdout.strip(), flush=True)
process = subprocess.Popen([caddy, "run", "--adapter", "caddyfile", "--config", config], env=environment, stderr=subprocess.DEVNULL)
try:
    for first in [100, 1000]:
        for _ in range(100):
            try:
                client = socket.create_connection(("127.0.0.1", front))
                break
            except OSError:
                time.sleep(0.1)
        client.settimeout(10)
        client.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{front}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n".encode())
        began, times, head = time.monotonic(), [], b""
        while data := client.recv(65536):
            head = head or data
            times.append(time.monotonic() - began)
        kind = "gzip" if b"gzip" in head.lower() else "plain"
        # the headers alone may come first: what counts is when the body moves
        pace = "as they were sent" if len([moment for moment in times if 0.2 < moment < 1.6]) > 3 else "all at the end"
        print(f"encode gzip, a first event of {first} bytes: {kind}, the events come {pace}", flush=True)
finally:
    process.terminate()
    process.wait()
PYTHON
timeout 60 python3 run.py | tee seen
cat >expected <<'TEXT'
caddy 2.6.2
encode gzip, a first event of 100 bytes: plain, the events come as they were sent
encode gzip, a first event of 1000 bytes: gzip, the events come all at the end
TEXT
diff expected seen
