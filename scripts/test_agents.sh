#!/usr/bin/env bash
# Runs coding agents and agent libraries over Chorus and a scripted model server, and checks what
# their users see: a tool round trip, a conversation that is too long, a writer that fails at once or
# breaks off, models that take one system message only, and models that want their thoughts back.
#
#   scripts/test_agents.sh [AGENT ...]     codex pydantic-ai openai-agents openai-agents-responses
#                                          langchain langchain-ollama opencode; default: all
#
# CHORUS     the program                                         default target/release/chorus
# INSTALLED  a folder that keeps the packages for the next run   default: a new one, removed at the end
# Needs bash 5, curl, python3 with venv, and npm for codex and opencode. Installs the versions pinned
# below; the runs themselves stay on loopback, and end with the script. Prints one line per check;
# exits 1 when one fails.
set -euo pipefail

node_packages=(@openai/codex@0.171.0 opencode-ai@1.18.33)
python_packages=('pydantic-ai-slim[openai]==2.68.0' openai-agents==0.24.0 langchain-openai==1.7.4
  langchain-ollama==1.1.0)

here=$(cd "$(dirname "$0")" && pwd)
chorus=${CHORUS:-$here/../target/release/chorus}
[ -x "$chorus" ] || { echo "no program at $chorus: build it, or set CHORUS" >&2; exit 2; }
chorus=$(realpath "$chorus")
folder=$(mktemp -d)
running=()
tidy() {
  local pid
  for pid in "${running[@]+"${running[@]}"}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${running[@]+"${running[@]}"}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap tidy EXIT
failed=0

[ $# -gt 0 ] ||
  set -- codex pydantic-ai openai-agents openai-agents-responses langchain langchain-ollama opencode

# -- the packages

installed=${INSTALLED:-$folder/installed}
mkdir -p "$installed" "$folder/work"
export npm_config_cache=$folder/npm PIP_CACHE_DIR=$folder/pip
node=$installed/node_modules/.bin
python=$installed/venv/bin/python
for agent; do
  case $agent in
    codex | opencode)
      [ -x "$node/opencode" ] ||
        npm install --prefix "$installed" --no-save --no-audit --no-fund --loglevel=error "${node_packages[@]}" ;;
    pydantic-ai | openai-agents | openai-agents-responses | langchain | langchain-ollama)
      "$python" -c 'import pydantic_ai, agents, langchain_openai, langchain_ollama' 2>/dev/null || {
        python3 -m venv "$installed/venv"
        "$python" -m pip install --quiet --disable-pip-version-check "${python_packages[@]}"
      } ;;
    *)
      echo "no agent $agent" >&2
      exit 2 ;;
  esac
done

# -- the servers

export NO_PROXY='*' no_proxy='*' NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1
: >"$folder/calls"
python3 "$here/agents/upstream.py" "$folder/calls" >"$folder/port" &
running+=($!)
until [ -s "$folder/port" ]; do
  kill -0 "${running[0]}"
  sleep 0.05
done
upstream=http://127.0.0.1:$(cat "$folder/port")
{
  printf '[server]\ntask_model = "small"\n\n'
  for model in small w1 w2 writer; do
    printf '[[model]]\nname = "%s"\napi_base = "%s/v1"\ncontext_tokens = 131072\n\n' "$model" "$upstream"
  done
  cat <<'TOML'
[workflow-integration]
json = '{ "analyzer": "small", "workers": ["w1", "w2"], "selector": "small", "synthesizer": "writer" }'

# The writer fails at every call of a case; the next case wants it back.
[workflow.health]
failure_threshold = 1000
open_secs = 0.001
probe_interval_secs = 0
TOML
} >"$folder/chorus.toml"
"$chorus" serve --config "$folder/chorus.toml" --host 127.0.0.1 --port 0 >"$folder/screen" 2>&1 &
running+=($!)
url=''
for _ in {1..100}; do
  url=$(grep -o 'http://127[0-9.]*:[0-9]*' "$folder/screen" | head -n 1 || true)
  [ -z "$url" ] || break
  sleep 0.1
done
[ -n "$url" ] || { cat "$folder/screen" >&2; exit 1; }

# -- the agents, each in a home of its own

codex_home() {
  mkdir -p "$folder/codex"
  cat >"$folder/codex/config.toml" <<TOML
model = "chorus"
model_provider = "chorus"
approval_policy = "never"
sandbox_mode = "danger-full-access"
web_search = "disabled"
check_for_update_on_startup = false
[features]
multi_agent_v2 = false
apps = false
plugins = false
[agents]
enabled = false
[analytics]
enabled = false
[model_providers.chorus]
name = "Chorus"
base_url = "$url/v1"
wire_api = "responses"
requires_openai_auth = false
supports_websockets = false
request_max_retries = 1
stream_max_retries = 1
TOML
}

opencode_home() {
  mkdir -p "$folder/opencode/.config/opencode"
  cat >"$folder/opencode/.config/opencode/opencode.json" <<JSON
{ "model": "chorus/chorus", "small_model": "chorus/chorus", "autoupdate": false, "share": "disabled",
  "provider": { "chorus": { "npm": "@ai-sdk/openai-compatible", "name": "Chorus",
    "options": { "baseURL": "$url/v1", "apiKey": "any" },
    "models": { "chorus": { "name": "chorus", "tool_call": true,
      "limit": { "context": 131072, "output": 8192 } } } } },
  "permission": { "edit": "allow", "bash": "allow", "webfetch": "deny" } }
JSON
}

run() { # AGENT PROMPT
  cd "$folder/work"
  case $1 in
    codex)
      codex_home
      CODEX_HOME=$folder/codex timeout 120 "$node/codex" exec --skip-git-repo-check "$2" </dev/null ;;
    opencode)
      opencode_home
      HOME=$folder/opencode XDG_CONFIG_HOME=$folder/opencode/.config XDG_DATA_HOME=$folder/opencode/.local \
        XDG_CACHE_HOME=$folder/opencode/.cache XDG_STATE_HOME=$folder/opencode/.state \
        OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 \
        timeout 120 "$node/opencode" run "$2" </dev/null ;;
    *) timeout 120 "$python" "$here/agents/ask.py" "$1" "$url" "$2" ;;
  esac
}

# -- the cases

check() { # AGENT CASE PROMPT EXIT-STATUS MOST-CALLS PATTERN [FORBIDDEN-PATTERN]
  local before calls status=0 problem=''
  before=$(wc -l <"$folder/calls")
  (run "$1" "$3") >"$folder/out" 2>&1 || status=$?
  calls=$(($(wc -l <"$folder/calls") - before))
  if [ "$status" -ne "$4" ]; then
    problem="exit status $status instead of $4"
  elif [ "$calls" -gt "$5" ]; then
    problem="$calls calls of models instead of at most $5"
  elif ! grep -qiE -- "$6" "$folder/out"; then
    problem="what it prints lacks: $6"
  elif [ -n "${7:-}" ] && grep -qiE -- "$7" "$folder/out"; then
    problem="what it prints has: $7"
  fi
  if [ -z "$problem" ]; then
    echo "ok    $1: $2 ($calls calls)"
  else
    failed=1
    echo "FAIL  $1: $2: $problem"
    tail -n 15 "$folder/out" | cut -c1-300 | sed 's/^/      /'
  fi
}

for agent; do
  # Most calls of a question, of two with a tool between, and of one that is told to be too long.
  one=5 two=10 long=3 cut=5 failing=8
  too_long='context_length_exceeded|too long|context window'
  case $agent in
    codex) cut=10 ;; # asks twice
    opencode)        # asks for a title, too, which is one call, and once more for what was cut
      one=6 two=11 long=20 cut=20 failing=9 ;;
  esac
  check "$agent" 'a question' 'Say hi' 0 "$one" 'whole answer of writer'
  check "$agent" 'a tool, there and back' 'TOOL please' 0 "$two" 'writer.*the tool said'
  check "$agent" 'a conversation that is too long' "LONG please" 1 "$long" "$too_long"
  check "$agent" 'a writer that fails' 'DIE now' 0 "$failing" 'whole answer of w[12]'
  check "$agent" 'a writer that fails, and a tool' 'DIE TOOL' 0 $((2 * failing)) 'w[12].*the tool said'
  # Whoever asks whole has got nothing yet, so that the best draft is the answer.
  if [ "$agent" = pydantic-ai ]; then
    check "$agent" 'an answer that is cut' 'CUT it' 0 "$failing" 'whole answer of w[12]'
  else
    check "$agent" 'an answer that is cut' 'CUT it' 1 "$cut" 'cut off'
  fi
  check "$agent" 'one system message only' 'STRICT TOOL' 0 "$((two + 10))" 'writer.*the tool said'
  check "$agent" 'thoughts that must come back' 'THINKING TOOL' 0 "$((two + 10))" 'writer.*the tool said'
done
[ "$failed" -eq 0 ]
