#!/usr/bin/env bash
# Puts Chorus behind each proxy of docs/en/src/howto/proxies.md, with the page's own configuration, and watches
# what comes through: whether a stream arrives piece by piece, whether Chorus and with it the model
# notice that a client left, and whether an answer that was cut is told from a whole one.
#
#   scripts/test_proxies.sh [PROXY ...]     nginx haproxy apache caddy lighttpd; default: those installed
#
# CHORUS   the program   default target/release/chorus
# Needs bash 5, curl and python3. Everything runs on loopback, on free ports, as the user who starts
# it, and ends with the script. Prints one line per check; exits 1 when one fails.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
page=$here/docs/en/src/howto/proxies.md
chorus=${CHORUS:-$here/target/release/chorus}
[ -x "$chorus" ] || { echo "no program at $chorus: build it, or set CHORUS" >&2; exit 2; }
folder=$(mktemp -d)
running=()
stop() { # PID ...
  local pid
  for pid in "$@"; do kill "$pid" 2>/dev/null || true; done
  for pid in "$@"; do wait "$pid" 2>/dev/null || true; done
}
trap 'stop "${running[@]+"${running[@]}"}"; rm -rf "$folder"' EXIT
failed=0

result() { # WHAT PROBLEM-OR-NOTHING [NOTE]
  if [ -z "$2" ]; then
    echo "ok    $1${3:+ ($3)}"
  else
    failed=1
    echo "FAIL  $1: $2"
  fi
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A model server. What it says holds the time at which it said it; its log says how each answer ended.
cat >"$folder/upstream.py" <<'PYTHON'
import http.server, json, select, sys, threading, time

log, lock = open(sys.argv[1], "a", buffering=1), threading.Lock()

class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def gone(self, seconds):
        readable, _, _ = select.select([self.connection], [], [], seconds)
        return bool(readable)

    def note(self, model, how):
        with lock:
            log.write(f"{model} {how} {time.time():.3f}\n")

    def piece(self, text, reason=None):
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
        data = json.dumps({"id": "1", "object": "chat.completion.chunk", "created": 1, "choices": [choice]})
        self.frame(f"data: {data}\n\n".encode())

    def frame(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model, streamed = request["model"], request.get("stream", False)
        self.close_connection = True
        if model == "slow":  # nothing for twenty seconds
            self.note(model, "left" if self.gone(20) else "finished")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if streamed else "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(100 if model == "long" else 12):
            if model == "cut" and number == 4:
                return
            self.piece(f"{time.time():.3f} ")
            if self.gone(0.2):
                self.note(model, "left")
                return
        self.piece("", "stop")
        self.frame(b"data: [DONE]\n\n")
        self.frame(b"")
        self.note(model, "finished")

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
: >"$folder/log"
python3 "$folder/upstream.py" "$folder/log" >"$folder/port" &
running+=($!)
until [ -s "$folder/port" ]; do sleep 0.05; done
upstream=$(cat "$folder/port")

for model in steady long slow cut; do
  printf '[[model]]\nname = "%s"\napi_base = "http://127.0.0.1:%s/v1"\n' "$model" "$upstream"
done >"$folder/chorus.toml"
cat >>"$folder/chorus.toml" <<'TOML'
[workflow-integration]
json = '{ "workers": ["steady", "long"], "selector": "steady" }'
TOML

answers() { # URL
  local try
  for try in {1..100}; do
    if curl -fsS --noproxy '*' -o "$folder/up" "$1/api/version" 2>/dev/null; then return; fi
    sleep 0.1
  done
  echo "no answer at $1 after $try tries" >&2
  return 1
}

start_chorus() {
  port=$(free_port)
  "$chorus" serve --quiet --config "$folder/chorus.toml" --host 127.0.0.1 --port "$port" >"$folder/chorus.log" 2>&1 &
  server=$!
  running+=("$server")
  answers "http://127.0.0.1:$port" || { cat "$folder/chorus.log" >&2; exit 1; }
}

# The page's block for a proxy, with the two ports put in.
snippet() { # KIND
  awk -v fence="\`\`\`$1" '$0 == fence { on = 1; next } on && /^```/ { exit } on' "$page" |
    sed "s/127\.0\.0\.1:11435/127.0.0.1:$port/g; s/\"port\" => 11435/\"port\" => $port/; s/8080/$front/g"
}

# Starts a proxy in the foreground of a job of its own; what its package needs around the page's block.
start_proxy() { # KIND
  local own=$folder/$1
  mkdir -p "$own"
  front=$(free_port)
  case $1 in
    nginx)
      { echo "daemon off; pid $own/pid; error_log stderr warn; worker_processes 1;"
        echo "events {} http { access_log off;"
        for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $own/$kind;"; done
        snippet nginx
        echo "}"; } >"$own/conf"
      exec nginx -e stderr -p "$own" -c "$own/conf" ;;
    haproxy)
      snippet haproxy >"$own/conf"
      exec haproxy -db -f "$own/conf" ;;
    apache)
      { echo "ServerName localhost"
        echo "DefaultRuntimeDir $own"
        echo "PidFile $own/pid"
        echo "ErrorLog $own/errors"
        for module in mpm_event authz_core proxy proxy_http; do
          echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
        done
        snippet apache; } >"$own/conf"
      exec apache2 -D FOREGROUND -d "$own" -f "$own/conf" ;;
    caddy)
      { echo "{"; echo "admin off"; echo "}"; snippet caddy; } >"$own/conf"
      exec env XDG_CONFIG_HOME="$own" XDG_DATA_HOME="$own" caddy run --adapter caddyfile --config "$own/conf" ;;
    lighttpd)
      { echo "server.document-root = \"$own\""; snippet lighttpd; } >"$own/conf"
      exec lighttpd -D -f "$own/conf" ;;
  esac >"$own/log" 2>&1 &
  proxy=$!
  running+=("$proxy")
  answers "http://127.0.0.1:$front" || { cat "$own/log" >&2; return 1; }
}

ask() { # URL MODEL STREAM SECONDS
  local body
  body=$(printf '{"model":"%s","stream":%s,"messages":[{"role":"user","content":"?"}]}' "$2" "$3")
  curl -sS --no-buffer --noproxy '*' --max-time "$4" -H 'Content-Type: application/json' -d "$body" "$1/v1/chat/completions"
}

# The median time, in ms, from the upstream's saying a piece to its arrival here, and their number.
lag() { # URL
  ask "$1" steady true 30 | python3 -c '
import json, sys, time
lags = []
for line in sys.stdin:
    if line.startswith("data: {"):
        for choice in json.loads(line[6:])["choices"]:
            text = choice["delta"].get("content", "").strip()
            if text:
                lags.append((time.time() - float(text)) * 1000)
print(len(lags), int(sorted(lags)[len(lags) // 2]) if lags else -1)'
}

# How long after a client left, in seconds, the upstream noticed; "never" when it did not within ten.
noticed() { # URL MODEL STREAM
  local from left try
  from=$(wc -l <"$folder/log")
  ask "$1" "$2" "$3" 1 >/dev/null 2>&1 || true
  left=$(date +%s.%N)
  for try in {1..100}; do
    if tail -n +$((from + 1)) "$folder/log" | grep -q "^$2 left"; then
      tail -n +$((from + 1)) "$folder/log" | awk -v left="$left" '$2 == "left" { printf "%.1f\n", ($3 > left) ? $3 - left : 0; exit }'
      return
    fi
    sleep 0.1
  done
  echo "never ($try tries)"
}

watch() { # KIND
  local url pieces ms direct model stream name after status
  start_chorus
  start_proxy "$1" || { result "$1 starts" "its log is above"; return; }
  url=http://127.0.0.1:$front
  read -r pieces direct < <(lag "http://127.0.0.1:$port")
  read -r pieces ms < <(lag "$url")
  if [ "$pieces" -lt 12 ]; then
    result "$1: a stream" "$pieces pieces of 12"
  elif [ "$ms" -gt $((direct + 50)) ]; then
    result "$1: a stream" "a piece takes $ms ms, $direct ms without the proxy"
  else
    result "$1: a stream comes piece by piece" "" "$ms ms a piece, $direct ms without the proxy"
  fi
  while read -r model stream name; do
    after=$(noticed "$url" "$model" "$stream")
    case $1-$name-$after in
      apache-plain-never* | lighttpd-plain-never*)
        echo "note  $1: leaving a $name answer is not noticed, as the page says" ;;
      *-never*) result "$1: leaving a $name answer" "the model was not told within ten seconds" ;;
      *) result "$1: leaving a $name answer reaches the model" "" "after $after s" ;;
    esac
  done <<<$'long true streamed\nslow false plain'
  ask "$url" cut true 30 >"$folder/cut" || true
  if grep -q '^data: {"error"' "$folder/cut"; then
    result "$1: an answer that the model cut is told" ""
  else
    result "$1: an answer that the model cut" "no error came"
  fi
  # Chorus itself dies in mid-stream: nothing but the connection can tell.
  { ask "$url" long true 30 >"$folder/cut" 2>/dev/null && status=0 || status=$?; echo "$status" >"$folder/status"; } &
  sleep 1.5
  kill -9 "$server"
  wait "$server" 2>/dev/null || true
  wait $! || true
  if [ "$(cat "$folder/status")" = 0 ]; then
    echo "note  $1: a stream that broke off looks whole to HTTP; only the missing end marker tells"
  else
    result "$1: a stream that broke off is told" "" "curl exit $(cat "$folder/status")"
  fi
  stop "$proxy"
}

PATH=$PATH:/usr/sbin
[ $# -gt 0 ] || set -- nginx haproxy apache caddy lighttpd
for kind; do
  program=${kind/%apache/apache2}
  if command -v "$program" >/dev/null; then watch "$kind"; else echo "skip  $kind: not installed"; fi
done
exit $failed
