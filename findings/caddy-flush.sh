#!/usr/bin/env bash
# `flush_interval -1` is in every recipe for event streams behind Caddy. Does it change anything for
# a caller who hangs up before the answer begins?
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
import os, pathlib, select, socket, subprocess, sys, threading, time

folder, ends = pathlib.Path.cwd(), []

def free():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]

def serve(listener):  # a model that thinks for four seconds
    while True:
        connection, _ = listener.accept()
        connection.recv(65536)
        left, _, _ = select.select([connection], [], [], 4)
        ends.append("hung up on" if left else "asked to the end")
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        connection.close()

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=[listener], daemon=True).start()
caddy = folder / "package/usr/bin/caddy"
print("caddy", subprocess.run([caddy, "version"], capture_output=True, text=True).stdout.strip(), flush=True)
for option in ["", "flush_interval -1"]:
    front = free()
    config = folder / "Caddyfile"
    config.write_text(
        "{\nadmin off\nauto_https off\n}\n"
        f"http://127.0.0.1:{front} {{\nreverse_proxy 127.0.0.1:{listener.getsockname()[1]} {{\n{option}\n}}\n}}\n"
    )
    environment = dict(os.environ, XDG_CONFIG_HOME=str(folder), XDG_DATA_HOME=str(folder))
    process = subprocess.Popen([caddy, "run", "--adapter", "caddyfile", "--config", config], env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                caller = socket.create_connection(("127.0.0.1", front))
                break
            except OSError:
                time.sleep(0.1)
        caller.sendall(f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{front}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        time.sleep(1)
        caller.close()
        before = len(ends)
        for _ in range(80):
            if len(ends) > before:
                break
            time.sleep(0.1)
        print(f"{option or 'no option'}: a caller left after one second; the model was {ends[-1]}", flush=True)
    finally:
        process.terminate()
        process.wait()
PYTHON
timeout 60 python3 run.py | tee seen
cat >expected <<'TEXT'
caddy 2.6.2
no option: a caller left after one second; the model was hung up on
flush_interval -1: a caller left after one second; the model was asked to the end
TEXT
diff expected seen
