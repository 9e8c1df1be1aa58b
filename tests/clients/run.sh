#!/usr/bin/env bash
# Runs the real clients, pinned, against a built Chorus over a fake upstream.
#
#   tests/clients/run.sh [--all] [--only TEXT]
#
# --all        also the checks that are switched off below
# --only TEXT  only the checks whose line contains TEXT, such as "openai-js  /v1/responses"
# CHORUS_BIN   the binary; default: the release build
# Needs python3 with venv, node and npm. Prints a line per check; exits 1 unless all passed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
binary=${CHORUS_BIN:-$target/release/chorus}

# Endpoints that are not there yet. Whoever builds one deletes its line.
skip=(
)

only=''
while [ $# -gt 0 ]; do
  case $1 in
    --all) skip=() ;;
    --only)
      only=${2:?--only needs a text}
      shift
      ;;
    *)
      sed -n '2,9s/^# \{0,1\}//p' "$0"
      exit 2
      ;;
  esac
  shift
done
if [ ! -x "$binary" ]; then
  echo "no binary at $binary; build it with: cargo build --release"
  exit 2
fi

# -- the clients, installed once per set of pins

mkdir -p "$target/clients"
installed=$(cd "$target/clients" && pwd)
if ! cmp -s "$here/requirements.txt" "$installed/requirements.txt"; then
  python3 -m venv --clear "$installed/venv"
  "$installed/venv/bin/pip" install --quiet --disable-pip-version-check \
    --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$installed/"
fi
if ! cmp -s "$here/package.json" "$installed/package.json"; then
  rm -rf "$installed/node_modules"
  cp "$here/package.json" "$installed/"
  if ! (cd "$installed" && npm install --no-package-lock --no-audit --no-fund --ignore-scripts); then
    rm "$installed/package.json" # or the next run would take it for done
    exit 1
  fi
fi
# Node looks for packages beside a script.
cp "$here"/*.mjs "$installed/"

# -- the servers

# shellcheck source-path=SCRIPTDIR disable=SC1091
source "$here/../../scripts/servers.sh"

python3 "$here/upstream.py" >"$folder/upstream" 2>&1 &
started+=($!)
UPSTREAM_URL=$(address "$folder/upstream" "${started[0]}")

{
  for model in talks also-talks refuses busy cuts hangs silent embeds lab/talks:8b; do
    upstream_model=$model
    [[ $model != *talks* ]] || upstream_model=talks
    printf '[[model]]\nname = "%s"\nupstream_model = "%s"\napi_base = "%s/v1"\nprotocol = "openai"\n\n' \
      "$model" "$upstream_model" "$UPSTREAM_URL"
  done
  printf '[[model]]\nname = "embeds-ollama"\napi_base = "%s"\nprotocol = "ollama"\n' "$UPSTREAM_URL"
  cat <<'END'

[workflow-integration]
json = """
{
  "workers":     [ { "ref": "talks" }, { "ref": "also-talks" } ],
  "synthesizer": { "ref": "talks" }
}
"""

[workflow.retry]
max_retries = 0

# Some of these models fail at every call, and each check wants the failure itself, not `circuit_open`.
[workflow.health]
failure_threshold = 1000
open_secs = 0.001
probe_interval_secs = 0
END
} >"$folder/config.toml"
NO_COLOR=1 "$binary" --config "$folder/config.toml" --port 0 >"$folder/chorus" 2>&1 &
started+=($!)
CHORUS_URL=$(address "$folder/chorus" "${started[1]}")

# -- the checks

export CHORUS_COMMAND=$binary CHORUS_CONFIG=$folder/config.toml
export CHORUS_URL UPSTREAM_URL CHORUS_SKIP="${skip[*]-}" CHORUS_ONLY=$only
crashed=0
for script in check_documents.py check_openai.py check_ollama.py check_langchain.py \
  check_anthropic.py check_genai.py check_mcp.py check_openai.mjs check_ollama.mjs check_ai_sdk.mjs \
  check_anthropic.mjs check_genai.mjs; do
  case $script in
    *.py) run=("$installed/venv/bin/python" "$here/$script") ;;
    *) run=(node "$installed/$script") ;;
  esac
  if ! "${run[@]}" 2>&1 | tee "$folder/lines"; then
    crashed=$((crashed + 1))
    echo "FAIL  $script broke off"
  elif [ -z "$only" ] && [ ! -s "$folder/lines" ]; then
    crashed=$((crashed + 1))
    echo "FAIL  $script checked nothing"
  fi
  cat "$folder/lines" >>"$folder/all"
done

count() { grep -c "^$1  " "$folder/all" || true; }
passed=$(count 'ok  ') failed=$(($(count FAIL) + crashed)) off=$(count 'off ')
if [ "$failed" -gt 0 ]; then
  echo
  echo "warnings and errors of Chorus, the last 20:"
  grep -E ' (WARN|ERROR) |panicked' "$folder/chorus" | tail -n 20 || true
fi
echo
[ "$off" -eq 0 ] || echo "$off switched off in run.sh: ${skip[*]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
