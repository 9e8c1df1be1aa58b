#!/usr/bin/env bash
# Has Prometheus' own promtool read what /metrics of a demo says after a plain, a streamed and a refused request.
# CHORUS_BIN asks that binary rather than a build of this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source-path=SCRIPTDIR disable=SC1091
source scripts/servers.sh
if [ -z "${CHORUS_BIN:-}" ]; then
  cargo build --locked --quiet
fi
"${CHORUS_BIN:-${CARGO_TARGET_DIR:-target}/debug/chorus}" demo --port 0 >"$folder/screen" 2>"$folder/log" &
started+=($!)
url=$(address "$folder/screen" "${started[0]}")

ask() { curl -s --max-time 60 -o "$folder/answer" "$url/v1/chat/completions" -d "$1"; }
ask '{"model": "chorus", "messages": [{"role": "user", "content": "Hello"}]}'
ask '{"model": "chorus", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
ask '{"model": "nobody", "messages": [{"role": "user", "content": "Hello"}]}'

curl -sf "$url/metrics" >"$folder/metrics"
promtool check metrics <"$folder/metrics"
for series in 'chorus_runs_total{.*status="ok"' 'chorus_http_requests_total{.*status="404"' \
  'gen_ai_server_time_to_first_token_seconds_count{' 'chorus_selector_wins_total{' 'chorus_build_info{'; do
  grep -q "^$series" "$folder/metrics" || { echo "missing: $series"; exit 1; }
done
echo "promtool reads all $(grep -vc '^#' "$folder/metrics") series"
