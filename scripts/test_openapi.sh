#!/usr/bin/env bash
# Has Schemathesis make requests of the API's description and hold the answers against it: no failure of
# the server, and no answer that is not described. It asks a server of its own over a pretended upstream, on free ports.
#
#   scripts/test_openapi.sh               a minute or two
#   scripts/test_openapi.sh 200           more requests to each endpoint
#
# CHORUS_BIN asks that binary rather than a build of this folder; SCHEMATHESIS is one that is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.32.5
examples=${1:-25}
# shellcheck source-path=SCRIPTDIR disable=SC1091
source scripts/servers.sh

tool=${SCHEMATHESIS:-}
if [ -z "$tool" ]; then
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
  tool=$folder/venv/bin/schemathesis
fi
binary=${CHORUS_BIN:-}
if [ -z "$binary" ]; then
  cargo build --locked --quiet
  binary=${CARGO_TARGET_DIR:-target}/debug/chorus
fi

python3 tests/clients/upstream.py >"$folder/upstream" 2>&1 &
started+=($!)
upstream=$(address "$folder/upstream" "${started[0]}")
cat >"$folder/config.toml" <<END
[[model]]
name = "talks"
api_base = "$upstream/v1"
protocol = "openai"

[[model]]
name = "embedder"
upstream_model = "embeds"
api_base = "$upstream/v1"
protocol = "openai"

[workflow-integration]
json = '{ "workers": ["talks"], "synthesizer": "talks" }'
END
NO_COLOR=1 "$binary" --config "$folder/config.toml" --port 0 >"$folder/log" 2>&1 &
started+=($!)
url=$(address "$folder/log" "${started[1]}")

# Operations of a model store answer 501 by design, below /ollama the same handlers answer, and /chorus/runs/live never ends. Chorus is lenient about what it reads, so a request that
# breaks the description may well be answered, and one that keeps it may ask for what is not there.
(cd "$folder" && "$tool" run "$url/openapi.json" --phases examples,coverage,fuzzing \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method \
  --exclude-path-regex '^/ollama/|/api/(pull|push|create|copy|delete|blobs)|/runs/live' \
  --max-examples "$examples" --seed 1 --no-shrink --generation-database none --workers 1 \
  --request-timeout 60 --continue-on-failure --output-truncate false --warnings off)

# That a request was the client's fault is no failure of the server, also where it was told of one by an upstream.
if grep -E 'panicked| ERROR ' "$folder/log" | grep -vE ' status=4[0-9][0-9] '; then
  echo 'the server reported a failure'
  exit 1
fi
