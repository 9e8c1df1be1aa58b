# To be sourced by checks that start servers: a folder of their own, and an end to whatever they started.
# shellcheck shell=bash

folder=$(mktemp -d)
started=()
tidy() {
  local pid
  for pid in "${started[@]+"${started[@]}"}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$folder"
}
trap tidy EXIT
# Servers on this machine are asked directly.
export NO_PROXY='*' no_proxy='*' PYTHONDONTWRITEBYTECODE=1

# address FILE PID: waits for the first http address in a file that a process writes.
address() {
  local found
  for _ in $(seq 200); do
    found=$(grep -so 'http://127[0-9.]*:[0-9]*' "$1" | head -n 1 || true)
    [ -z "$found" ] || { echo "$found"; return; }
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  echo 'did not start:' >&2
  cat "$1" >&2
  return 1
}
