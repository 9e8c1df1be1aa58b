#!/usr/bin/env bash
# Streams from a running Chorus on every endpoint and dialect, and checks that the answer really
# comes in pieces, over time, and ends as the dialect says. Beside each stream stands the gap between
# its pieces, the middle one and the longest: a proxy that holds every piece back for a while shows in
# the first, one that gathers them in the second.
#
#   chorus demo &  ./test_stream.sh
#   ./test_stream.sh --url https://chorus.example    through a proxy
#
# --url URL      where it is, instead of CHORUS_URL
# CHORUS_URL     where it is     default http://127.0.0.1:11435
# CHORUS_KEY     a client key    default none
# MIN_SPREAD_MS  least time from first to last piece of text; default 20
# Needs bash 5 and curl. Prints one line per check; exits 1 when one fails.
set -euo pipefail

url=${CHORUS_URL:-http://127.0.0.1:11435}
while [ $# -gt 0 ]; do
  case $1 in
    --url=*) url=${1#--url=} ;;
    --url)
      [ $# -ge 2 ] || { echo "--url needs a URL"; exit 2; }
      url=$2
      shift
      ;;
    *)
      echo "unknown argument: $1 (known: --url URL)"
      exit 2
      ;;
  esac
  shift
done
url=${url%/}
min_spread_ms=${MIN_SPREAD_MS:-20}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
auth=()
[ -z "${CHORUS_KEY:-}" ] || auth=(-H "Authorization: Bearer $CHORUS_KEY")
checked=0 failed=0

result() { # WHAT PROBLEM-OR-NOTHING [NOTE]
  checked=$((checked + 1))
  if [ -z "$2" ]; then
    echo "ok    $1${3:+ ($3)}"
  else
    failed=$((failed + 1))
    echo "FAIL  $1: $2"
    head -c 600 "$folder/lines" | sed 's/^/      /'
    echo
  fi
}

now_ms() { # the decimal separator follows the locale
  local now=${EPOCHREALTIME/[.,]/}
  echo $((now / 1000))
}

# stream PATH BODY TEXT-PATTERN [CURL OPTIONS]: leaves the lines as they came in $folder/lines,
# and sets $pieces (lines with text), $spread (ms from the first of them to the last), $gaps (ms
# between them, in words) and $kind.
stream() {
  local path=$1 body=$2 pattern=$3 line first='' last='' now
  local -a between=()
  shift 3
  : >"$folder/lines"
  : >"$folder/headers"
  pieces=0
  while IFS= read -r line || [ -n "$line" ]; do
    printf '%s\n' "$line" >>"$folder/lines"
    if [[ $line =~ $pattern ]]; then
      pieces=$((pieces + 1))
      now=$(now_ms)
      [ -z "$last" ] || between+=($((now - last)))
      last=$now
      first=${first:-$last}
    fi
  done < <(curl --silent --show-error --no-buffer --noproxy '*' --max-time 180 \
    "${auth[@]+"${auth[@]}"}" --dump-header "$folder/headers" \
    -H 'Content-Type: application/json' --data-binary "$body" "$@" "$url$path" 2>&1)
  spread=$((${last:-0} - ${first:-0}))
  gaps='no gaps'
  if [ "${#between[@]}" -gt 0 ]; then
    mapfile -t between < <(printf '%s\n' "${between[@]}" | sort -n)
    gaps="gaps of ${between[$((${#between[@]} / 2))]} ms, the longest ${between[-1]} ms"
  fi
  kind=$(tr '[:upper:]' '[:lower:]' <"$folder/headers" | tr -d '\r' | sed -n 's/^content-type: //p')
}

# flows WHAT KIND: several pieces, over time, of this content type.
flows() {
  local problem=''
  [ "$kind" = "$2" ] || problem="content type is '$kind' instead of '$2'"
  [ "$pieces" -ge 3 ] || problem="${problem:+$problem; }$pieces pieces of text"
  [ "$spread" -ge "$min_spread_ms" ] || problem="${problem:+$problem; }all of it within $spread ms"
  result "$1 comes in pieces" "$problem" "$pieces in $spread ms; $gaps"
}

# ends WHAT LAST-LINE-PATTERN
ends() {
  local last problem=''
  last=$(grep -v '^$' "$folder/lines" | tail -n 1)
  [[ $last =~ $2 ]] || problem="the last line is: $last"
  result "$1 ends as it should" "$problem"
}

has() { # WHAT TEXT
  local problem=''
  grep -qF -- "$2" "$folder/lines" || problem="lacks $2"
  result "$1" "$problem"
}

no_blank_lines() {
  local problem=''
  [ "$pieces" -gt 0 ] || problem='nothing came'
  ! grep -qxF '' "$folder/lines" || problem='it has'
  result "$1 has no blank lines" "$problem"
}

chat='{"model":"chorus","stream":true,"messages":[{"role":"user","content":"天空为什么是蓝色的？"}]}'
prompt='{"model":"chorus","stream":true,"prompt":"Why is the sky blue?"}'
done_line='^data: \[DONE\]$'
last_object='"done":true'

echo "Chorus at $url"
if ! curl --silent --fail --noproxy '*' --max-time 10 --output "$folder/health" "$url/health"; then
  echo "nothing answers there; start it with: chorus demo"
  exit 1
fi

stream /v1/chat/completions "${chat%\}},\"stream_options\":{\"include_usage\":true},\"include_workflow\":true}" \
  '"content":"[^"]'
flows '/v1/chat/completions' 'text/event-stream'
ends '/v1/chat/completions' "$done_line"
has '/v1/chat/completions says why it ended' '"finish_reason":"stop"'
has '/v1/chat/completions tells its usage when asked' '"total_tokens":'
has '/v1/chat/completions carries the trace when asked' '"workflow":{'

stream /v1/chat/completions "$chat" '"content":"[^"]' -H 'Accept: application/json'
flows '/v1/chat/completions, whatever Accept says,' 'text/event-stream'

stream /v1/completions "$prompt" '"text":"[^"]'
flows '/v1/completions' 'text/event-stream'
ends '/v1/completions' "$done_line"

stream /v1/responses '{"stream":true,"input":"Why is the sky blue?"}' '"delta":"[^"]'
flows '/v1/responses' 'text/event-stream'
ends '/v1/responses' "$done_line"
has '/v1/responses says that it is complete' 'event: response.completed'

for accept in application/x-ndjson text/event-stream; do
  stream /api/chat "$chat" '"content":"[^"]' -H "Accept: $accept"
  flows "/api/chat as $accept" "$accept"
  if [ "$accept" = text/event-stream ]; then
    ends "/api/chat as $accept" "$done_line"
  else
    ends "/api/chat as $accept" "$last_object"
    no_blank_lines "/api/chat as $accept"
  fi
  has "/api/chat as $accept says that it is done" "$last_object"

  stream /api/generate "${prompt%\}},\"include_workflow\":true}" '"response":"[^"]' -H "Accept: $accept"
  flows "/api/generate as $accept" "$accept"
  if [ "$accept" = text/event-stream ]; then
    ends "/api/generate as $accept" "$done_line"
  else
    ends "/api/generate as $accept" "$last_object"
  fi
  has "/api/generate as $accept carries the trace when asked" '"workflow":{'
done

stream /api/generate "$prompt" '"response":"[^"]'
flows '/api/generate for plain curl' 'text/event-stream'
stream '/api/generate?stream_format=ndjson' "$prompt" '"response":"[^"]'
flows '/api/generate?stream_format=ndjson' 'application/x-ndjson'

echo
if [ "$failed" -gt 0 ]; then
  echo "$failed of $checked checks failed"
  exit 1
fi
echo "all $checked checks passed"
