#!/usr/bin/env bash
# Asks one real model through Chorus: alone and as a whole panel, streamed and whole, and with a tool
# on the table. Prints what came, and fails when something did not come.
#
#   scripts/test_real.sh URL MODEL      such as http://127.0.0.1:8080/v1 smollm2
#
# URL        the base URL of an OpenAI-compatible server
# CHORUS     the program                           default target/release/chorus
# API_KEY    the key of that server, if it wants one
# Needs curl. Paid servers charge for about ten small answers.
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
url=$1 model=$2
cd "$(dirname "$0")/.."
chorus=${CHORUS:-target/release/chorus}
[ -x "$chorus" ] || { echo "no program at $chorus: build it, or set CHORUS" >&2; exit 2; }
folder=$(mktemp -d)
server=''
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT

cat >"$folder/chorus.toml" <<TOML
[[model]]
name = "real"
upstream_model = "$model"
api_base = "$url"
${API_KEY:+api_key = "env:API_KEY"}

[workflow-integration]
json = '''{"analyzer": "real", "workers": ["real", {"name": "second", "ref": "real"}],
  "selector": "real", "synthesizer": "real"}'''
TOML
"$chorus" serve --config "$folder/chorus.toml" --port 0 >"$folder/screen" 2>"$folder/log" &
server=$!
base=''
for _ in $(seq 100); do
  base=$(grep -ho 'http://127[0-9.]*:[0-9]*' "$folder/screen" "$folder/log" | head -n 1 || true)
  [ -z "$base" ] || break
  kill -0 "$server" 2>/dev/null || { cat "$folder/screen" "$folder/log" >&2; exit 1; }
  sleep 0.1
done

failed=0
ask() { # WHAT PATTERN PATH BODY
  local answer
  answer=$(curl -sS -N --max-time 300 "$base$3" -d "$4" | tr -d '\000')
  if grep -qE "$2" <<<"$answer"; then
    printf 'ok    %s\n' "$1"
  else
    printf 'FAIL  %s\n%s\n' "$1" "${answer:0:2000}"
    failed=1
  fi
}
words='"messages":[{"role":"user","content":"Name one colour of the rainbow."}]'
say="$words,\"max_tokens\":60"
tool='"tools":[{"type":"function","function":{"name":"now","parameters":{"type":"object"}}}]'
ask 'one model, whole' '"content": ?"[^"]' /v1/chat/completions "{\"model\":\"real\",$say}"
ask 'one model, streamed' '^data: \[DONE\]' /v1/chat/completions "{\"model\":\"real\",\"stream\":true,$say}"
ask 'one model, with a tool' '"finish_reason"' /v1/chat/completions "{\"model\":\"real\",$tool,$say}"
ask 'the workflow, whole' '"status": ?"(ok|degraded)"' /v1/chat/completions \
  "{\"include_workflow\":true,$say}"
ask 'the workflow, streamed' '^data: \[DONE\]' /v1/chat/completions "{\"stream\":true,$say}"
ask 'the workflow, as Ollama' '"done": ?true' /api/chat "{$words,\"options\":{\"num_predict\":60}}"
exit "$failed"
