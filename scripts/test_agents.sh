#!/usr/bin/env bash
# Runs coding agents and agent libraries over Chorus and a scripted model server, and checks what
# their users see: a tool that really writes a file, a tool of an MCP server, a task of five steps, two
# turns, a conversation that is too long, a writer that fails at once or breaks off, leaving, models that
# take one system message only, and models that want their thoughts back.
#
#   scripts/test_agents.sh [AGENT ...]     claude codex opencode gemini qwen copilot aider pi
#                                          pydantic-ai openai-agents openai-agents-responses
#                                          langchain langchain-ollama; default: all
#
# CHORUS     the program                                         default target/release/chorus
# INSTALLED  a folder that keeps the packages for the next run   default: a new one, removed at the end
# Needs bash 5, curl, python3 with venv, and npm for the coding agents, which `chorus launch` starts.
# Installs the versions pinned below; the runs themselves stay on loopback, and end with the script.
# Prints one line per check; exits 1 when one fails.
# What is sourced below reads it.
# shellcheck disable=SC2034
set -euo pipefail

# Node 22 itself, which some of the agents need.
node_packages=(node@22.23.3 @openai/codex@0.171.0 opencode-ai@1.18.33 @anthropic-ai/claude-code@2.1.332
  @google/gemini-cli@0.61.0 @qwen-code/qwen-code@0.24.4 @github/copilot@1.0.102
  @earendil-works/pi-coding-agent@1.6.0)
python_packages=('pydantic-ai-slim[openai]==2.68.0' openai-agents==0.24.0 langchain-openai==1.7.4
  langchain-ollama==1.1.0)
# It pins its own dependencies, so that it needs an environment of its own.
aider_packages=(aider-chat==0.86.2)

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
  set -- claude codex opencode gemini qwen copilot aider pi \
    pydantic-ai openai-agents openai-agents-responses langchain langchain-ollama

# -- the packages

installed=${INSTALLED:-$folder/installed}
mkdir -p "$installed" "$folder/work" "$folder/homes"
export npm_config_cache=$folder/npm PIP_CACHE_DIR=$folder/pip
node=$installed/node_modules/.bin
python=$installed/venv/bin/python
for agent; do
  case $agent in
    claude | codex | opencode | gemini | qwen | copilot | pi)
      [ -x "$node/pi" ] ||
        npm install --prefix "$installed" --no-save --no-audit --no-fund --loglevel=error "${node_packages[@]}" ;;
    aider)
      [ -x "$installed/aider/bin/aider" ] || {
        python3 -m venv "$installed/aider"
        "$installed/aider/bin/python" -m pip install --quiet --disable-pip-version-check "${aider_packages[@]}"
      } ;;
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
export PATH=$node:$installed/aider/bin:$PATH

# -- the servers

export NO_PROXY='*' no_proxy='*'
: >"$folder/calls"
: >"$folder/notes"

started() { # FILE COMMAND...: starts it, and waits for the port it prints into the file
  local file=$1
  shift
  "$@" >"$file" &
  running+=($!)
  until [ -s "$file" ]; do
    kill -0 "${running[-1]}"
    sleep 0.05
  done
}
started "$folder/port" python3 "$here/agents/upstream.py" "$folder/calls"
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
direct=''
for _ in {1..100}; do
  direct=$(grep -o 'http://127[0-9.]*:[0-9]*' "$folder/screen" | head -n 1 || true)
  [ -z "$direct" ] || break
  sleep 0.1
done
[ -n "$direct" ] || { cat "$folder/screen" >&2; exit 1; }
started "$folder/watch" python3 "$here/agents/watch.py" "$direct" "$folder/notes"
watched=http://127.0.0.1:$(cat "$folder/watch")
url=$direct
# shellcheck disable=SC1091
source "$here/agents/run.sh"

# -- the cases

verdict() { # AGENT CASE PROBLEM FINE
  if [ -z "$3" ]; then
    echo "ok    $1: $2 ($4)"
  else
    failed=1
    echo "FAIL  $1: $2: $3"
    tail -n 15 "$folder/out" | cut -c1-300 | sed 's/^/      /'
  fi
}

check() { # AGENT CASE PROMPT EXIT-STATUS MOST-CALLS PATTERN [first|next [FILE-CONTENT]]
  local before calls status=0 problem='' file=$folder/work/$1/written.txt
  before=$(wc -l <"$folder/calls")
  rm -f "$file"
  (run "$1" "${7:-first}" "$3") >"$folder/out" 2>&1 || status=$?
  calls=$(($(wc -l <"$folder/calls") - before))
  if [ "$status" -ne "$4" ]; then
    problem="exit status $status instead of $4"
  elif [ "$calls" -gt "$5" ]; then
    problem="$calls calls of models instead of at most $5"
  elif ! tr '\n' ' ' <"$folder/out" | grep -qiE -- "$6"; then
    problem="what it prints lacks: $6"
  elif [ -n "${8:-}" ] && ! grep -qs -- "$8" "$file"; then
    problem="no file was written"
  fi
  verdict "$1" "$2" "$problem" "$calls calls"
}

# Five steps: four calls of a tool and the answer cost one panel (five calls) and four of the writer
# alone, and the records say which was which. What is asked in the background goes to a single model.
steps() { # AGENT
  local before told
  before=$(wc -l <"$folder/calls")
  : >"$folder/notes"
  url=$watched
  (run "$1" first 'Run it: %STEPS please') >"$folder/out" 2>&1 || true
  url=$direct
  told=$(grep -v single "$folder/notes" | sort | uniq -c | awk '{ print $1, $2 }' | paste -sd ' ')
  case $told in
    '4 alone 1 panel')
      verdict "$1" 'five steps' '' "$told: $(tail -n "+$((before + 1))" "$folder/calls" | sort | uniq -c | awk '{ print $1, $2 }' | paste -sd ' ')" ;;
    *) verdict "$1" 'five steps' "the records say: $told" ;;
  esac
}

# An agent that is told to end while the writer writes: the writer is hung up on.
leaving() { # AGENT
  local before process problem='the writer was not hung up on'
  before=$(wc -l <"$folder/calls")
  # A group of its own, which gets the signal as one does whose terminal goes.
  set -m
  (run "$1" first 'Go on and on: %HANG') >"$folder/out" 2>&1 &
  process=$!
  set +m
  for _ in {1..300}; do
    ! tail -n "+$((before + 1))" "$folder/calls" | grep -q writer || break
    sleep 0.1
  done
  sleep 0.5
  kill -TERM -- "-$process" 2>/dev/null || true
  for _ in {1..100}; do
    if tail -n "+$((before + 1))" "$folder/calls" | grep -q left; then
      problem=''
      break
    fi
    sleep 0.1
  done
  wait "$process" 2>/dev/null || true
  verdict "$1" 'leaving' "$problem" 'the writer was hung up on'
}

for agent; do
  # Most calls of a question, of two with a tool between, of one that is told to be too long, of one that
  # is cut, and of one whose writer fails; the exit status of the last but one, and what it says.
  one=6 two=11 long=3 cut=13 failing=9 cut_status=1 long_status=1 cut_says='cut off'
  too_long='context_length_exceeded|too long|context window'
  is_program=1 has_tools=1 has_mcp=1
  case $agent in
    claude) # asks again for a whole answer, which is that of the best draft
      cut_status=0 cut_says='whole answer of w[12]' ;;
    codex) ;; # asks twice
    opencode) # asks for a title, too, and once more for what was cut or too long
      long=20 cut=20 ;;
    gemini) # takes a stream that ends early for an answer, and shows what an error said in its report
      cut_status=0 cut_says='without a finish reason' too_long='status: 400' ;;
    qwen) cut=30 failing=12 ;;    # asks for suggestions, too
    copilot) cut=40 ;;            # asks six times
    pi) cut=40 has_mcp='' ;;
    aider) # edits files by what the answer says, and calls no tools
      cut=90 cut_status=0 long_status=0 too_long='token.limit' has_tools='' has_mcp='' ;;
    pydantic-ai) is_program='' cut_status=0 cut_says='whole answer of w[12]' ;;
    *) is_program='' cut=5 ;;
  esac
  check "$agent" 'a question' 'Say hi' 0 "$one" 'whole answer of writer'
  if [ -z "$is_program" ]; then
    check "$agent" 'a tool, there and back' 'Run it: %TOOL please' 0 "$two" 'writer.*the tool said'
  elif [ -n "$has_tools" ]; then
    check "$agent" 'a tool that writes a file' 'Run it: %TOOL please' 0 "$two" 'writer.*the tool said' \
      first hello-from-tool
    steps "$agent"
    [ -z "$has_mcp" ] ||
      check "$agent" 'a tool of an MCP server' 'Note it: %MCP please' 0 "$((two + 2))" 'hello-from-mcp' first hello
  else
    check "$agent" 'a file that is written' 'Write it: %EDIT' 0 "$((two * 2))" 'written.txt' first hello-from-tool
  fi
  if [ -n "$is_program" ]; then
    check "$agent" 'a first turn' 'Mind this: %KEEP blue' 0 "$one" 'whole answer of writer'
    check "$agent" 'a second turn' 'What was it? %RECALL' 0 "$one" 'You said blue' next
    leaving "$agent"
  fi
  check "$agent" 'a writer that fails' 'It will %DIE' 0 "$failing" 'whole answer of w[12]'
  check "$agent" 'an answer that is cut' 'It is %CUT' "$cut_status" "$cut" "$cut_says"
  if [ -n "$has_tools" ]; then
    check "$agent" 'a writer that fails, and a tool' 'It will %DIE: %TOOL' 0 $((2 * failing)) 'w[12].*the tool said'
    check "$agent" 'one system message only' 'Be %STRICT: %TOOL' 0 "$((two + 10))" 'writer.*the tool said'
    check "$agent" 'thoughts that must come back' 'Be %THINKING: %TOOL' 0 "$((two + 10))" 'writer.*the tool said'
  fi
  # Some remember the limit, and ask nothing more in the same home.
  check "$agent" 'a conversation that is too long' 'It is %LONG' "$long_status" "$long" "$too_long"
done
[ "$failed" -eq 0 ]
