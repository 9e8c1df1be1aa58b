#!/usr/bin/env bash
# Opens the page in a real browser, over the demo and over scripted models.
#
#   tests/ui/run.sh [--only TEXT] [--shots FOLDER]
#
# --only TEXT     only the checks whose line contains TEXT
# --shots FOLDER  leaves screenshots there
# CHORUS_BIN      the binary; default: the debug build
# Needs chromium (or CHROMIUM, its path), node and npm. Prints a line per check; exits 1 unless all passed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
binary=${CHORUS_BIN:-$target/debug/chorus}
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}

while [ $# -gt 0 ]; do
  case $1 in
    --only) export CHORUS_ONLY=${2:?--only needs a text} ;;
    --shots) mkdir -p "${2:?--shots needs a folder}" && SHOTS=$(cd "$2" && pwd) && export SHOTS ;;
    *)
      sed -n '2,9s/^# \{0,1\}//p' "$0"
      exit 2
      ;;
  esac
  shift 2
done
if [ ! -x "$binary" ] || [ -z "$CHROMIUM" ]; then
  echo "no binary at $binary, or no chromium; build it with: cargo build"
  exit 2
fi

# Installed once per set of pins; Node looks for packages beside a script.
mkdir -p "$target/ui"
installed=$(cd "$target/ui" && pwd)
if ! cmp -s "$here/package.json" "$installed/package.json"; then
  rm -rf "$installed/node_modules"
  cp "$here/package.json" "$installed/"
  if ! (cd "$installed" && npm install --no-package-lock --no-audit --no-fund --ignore-scripts); then
    rm "$installed/package.json" # or the next run would take it for done
    exit 1
  fi
fi
cp "$here"/*.mjs "$installed/"

# shellcheck source-path=SCRIPTDIR disable=SC1091
source "$here/../../scripts/servers.sh"
export NO_COLOR=1 CHROMIUM

node "$installed/upstream.mjs" >"$folder/upstream" 2>&1 &
started+=($!)
UPSTREAM_URL=$(address "$folder/upstream" "${started[0]}")
node "$installed/config.mjs" "$UPSTREAM_URL" >"$folder/rich.toml"
printf -v client '[[client]]\nname = "page"\nkey = "the key of the page'"'"'s tests"\n'
node "$installed/config.mjs" "$UPSTREAM_URL" "$client" >"$folder/keyed.toml"

"$binary" demo --port 0 >"$folder/demo" 2>&1 &
started+=($!)
"$binary" --config "$folder/rich.toml" --port 0 >"$folder/rich" 2>&1 &
started+=($!)
"$binary" --config "$folder/keyed.toml" --port 0 >"$folder/keyed" 2>&1 &
started+=($!)
DEMO_URL=$(address "$folder/demo" "${started[1]}")
RICH_URL=$(address "$folder/rich" "${started[2]}")
KEYED_URL=$(address "$folder/keyed" "${started[3]}")
export DEMO_URL RICH_URL KEYED_URL

status=0
node "$installed/checks.mjs" || status=$?
# What the models wrote, the key and the questions are nobody's business but the page's.
if grep -lE "the key of the page|window.harmed|Sunlight holds|sky blue" "$folder"/rich "$folder"/keyed; then
  echo 'FAIL  these logs tell a key, a question or an answer'
  status=1
fi
[ "$status" -eq 0 ]
