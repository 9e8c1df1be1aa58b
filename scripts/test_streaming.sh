#!/usr/bin/env bash
# Streams from a running Chorus on every endpoint that streams, in both dialects and in the one for
# scripts, and checks framing, order and ending; and that what fails early fails with a status.
#
#   chorus demo &  scripts/test_streaming.sh
#
# CHORUS_URL  where it is        default http://127.0.0.1:11435
# CHORUS_KEY  a client key       default none
# Needs bash and curl. Prints one line per check; exits 1 when one fails.
set -euo pipefail

url=${CHORUS_URL:-http://127.0.0.1:11435}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
auth=()
[ -z "${CHORUS_KEY:-}" ] || auth=(-H "Authorization: Bearer $CHORUS_KEY")
checked=0 failed=0 status=000

# stream PATH BODY [CURL OPTIONS]: leaves $status, $folder/headers (in lower case) and $folder/lines.
stream() {
  local path=$1 body=$2
  shift 2
  : >"$folder/lines"
  status=$(curl --silent --show-error --no-buffer --noproxy '*' --max-time 180 \
    "${auth[@]+"${auth[@]}"}" --dump-header "$folder/raw" --output "$folder/lines" \
    --write-out '%{http_code}' -H 'Content-Type: application/json' --data-binary "$body" "$@" \
    "$url$path") || status=000
  tr '[:upper:]' '[:lower:]' <"$folder/raw" | tr -d '\r' >"$folder/headers"
}

result() { # WHAT PROBLEM-OR-NOTHING
  checked=$((checked + 1))
  if [ -z "$2" ]; then
    echo "ok    $1"
  else
    failed=$((failed + 1))
    echo "FAIL  $1: $2"
    head -c 600 "$folder/lines" | sed 's/^/      /'
    echo
  fi
}

last_line() { grep -v '^$' "$folder/lines" | tail -n 1; }

# pieces PATTERN: how many lines hold it.
pieces() { grep -cE -- "$1" "$folder/lines" || true; }

# framed WHAT KIND TEXT-PATTERN END-PATTERN: a 200 of this type, in several pieces, nothing but
# frames of this form, ended as the form says, exactly once.
framed() {
  local what=$1 kind=$2 text=$3 end=$4 problem='' form number
  [ "$status" = 200 ] || problem="status $status"
  grep -qxF "content-type: $kind" "$folder/headers" || problem="${problem:+$problem; }not $kind"
  grep -qxF 'cache-control: no-cache' "$folder/headers" || problem="${problem:+$problem; }cacheable"
  number=$(pieces "$text")
  [ "$number" -ge 3 ] || problem="${problem:+$problem; }$number pieces of text"
  if [ "$kind" = application/x-ndjson ]; then form='^\{.*\}$'; else form='^(data: .*|event: .*|: .*|)$'; fi
  ! grep -qvE -- "$form" "$folder/lines" || problem="${problem:+$problem; }a line is no frame"
  [[ $(last_line) =~ $end ]] || problem="${problem:+$problem; }the last line is: $(last_line)"
  [ "$(pieces "$end")" = 1 ] || problem="${problem:+$problem; }it ends $(pieces "$end") times"
  ! grep -qE '^(data: )?\{"error"' "$folder/lines" || problem="${problem:+$problem; }it has an error"
  result "$what: $number pieces, $kind" "$problem"
}

has() { # WHAT TEXT...; a text that starts with ! must not be there
  local what=$1 problem='' text
  shift
  for text in "$@"; do
    if [ "${text#!}" != "$text" ]; then
      ! grep -qF -- "${text#!}" "$folder/lines" || problem="${problem:+$problem; }has ${text#!}"
    else
      grep -qF -- "$text" "$folder/lines" || problem="${problem:+$problem; }lacks $text"
    fi
  done
  result "$what" "$problem"
}

refused() { # WHAT STATUS TEXT
  local problem=''
  [ "$status" = "$2" ] || problem="status $status instead of $2"
  grep -qxF 'content-type: application/json' "$folder/headers" || problem="${problem:+$problem; }no JSON"
  grep -qF -- "$3" "$folder/lines" || problem="${problem:+$problem; }lacks $3"
  result "$1" "$problem"
}

messages='"messages":[{"role":"user","content":"Why is the sky blue?"}]'
prompt='"prompt":"天空为什么是蓝色的？"'
usage='"stream_options":{"include_usage":true}'
sse_end='^data: \[DONE\]$'
ndjson_end='"done":true'
sse=text/event-stream
ndjson=application/x-ndjson

echo "Chorus at $url"
if ! curl --silent --fail --noproxy '*' --max-time 10 --output "$folder/health" "$url/health"; then
  echo "nothing answers there; start it with: chorus demo"
  exit 1
fi

echo "-- OpenAI's dialect"
for accept in application/json text/event-stream; do
  stream /v1/chat/completions "{\"stream\":true,$usage,\"include_workflow\":true,$messages}" \
    -H "Accept: $accept"
  framed "/v1/chat/completions, Accept: $accept" "$sse" '"delta":\{"content":"[^"]' "$sse_end"
done
has 'chat: role, progress, end, usage and record' '"delta":{"role":"assistant"' \
  '"reasoning_content":"' '"finish_reason":"stop"' '"total_tokens":' '"workflow":{'
stream /v1/chat/completions "{\"stream\":true,\"reasoning_effort\":\"none\",$messages}"
has 'chat: no progress, usage or record when not wanted' '"finish_reason":"stop"' \
  '!reasoning_content' '!"usage"' '!"workflow"'
stream /v1/completions "{\"stream\":true,$usage,\"include_workflow\":true,$prompt}"
framed '/v1/completions' "$sse" '"text":"[^"]' "$sse_end"
has 'completions: end, usage and record' '"object":"text_completion"' '"finish_reason":"stop"' \
  '"total_tokens":' '"workflow":{' '!"reasoning_content"'
stream /v1/completions '{"stream":true,"prompt":["Why?","How?"]}'
framed '/v1/completions, two prompts' "$sse" '"text":"[^"]' "$sse_end"
has 'completions: a choice for each prompt' '"index":0' '"index":1'

stream /v1/responses '{"stream":true,"include_workflow":true,"input":"Why is the sky blue?"}'
framed '/v1/responses' "$sse" '"delta":"[^"]' "$sse_end"
has 'responses: typed events from first to last, and the record' 'event: response.created' \
  '"sequence_number":0' 'event: response.reasoning_summary_text.delta' \
  'event: response.output_text.delta' 'event: response.completed' '"workflow":{'

echo "-- Ollama's dialect"
for prefix in '' /ollama; do
  accept=application/x-ndjson
  # Below the alias nothing else is needed, not even for curl.
  [ -z "$prefix" ] || accept='*/*'
  stream "$prefix/api/chat" "{\"include_workflow\":true,$messages}" -H "Accept: $accept"
  framed "$prefix/api/chat" "$ndjson" '"content":"[^"]' "$ndjson_end"
  has "$prefix/api/chat: progress, counters and record" '"thinking":"' '"done_reason":"stop"' \
    '"eval_count":' '"load_duration":' '"workflow":{'
  stream "$prefix/api/generate" "{$prompt}" -H "Accept: $accept"
  framed "$prefix/api/generate" "$ndjson" '"response":"[^"]' "$ndjson_end"
  has "$prefix/api/generate: counters, no thinking" '"context":[]' '"total_duration":' '!"thinking"'
done
stream '/api/generate?stream_format=ndjson' "{\"think\":true,$prompt}"
framed '/api/generate?stream_format=ndjson' "$ndjson" '"response":"[^"]' "$ndjson_end"
has 'generate: progress with think' '"thinking":"'

echo "-- the dialect for scripts"
stream /api/chat "{$messages}" -H 'Accept: text/event-stream'
framed '/api/chat' "$sse" '"response":"[^"]' "$sse_end"
has 'chat: the text stands in both places' '"message":{"role":"assistant","content":"' '"done":true'
stream /api/generate "{\"include_workflow\":true,$prompt}" -A curl/8
framed '/api/generate, as curl' "$sse" '"response":"[^"]' "$sse_end"
has 'generate: the record is on the last object' '"workflow":{'

echo "-- failures before a stream have a status"
stream /v1/chat/completions '{"stream":true,"messages":[]}'
refused '/v1/chat/completions without messages' 400 '"param":"messages"'
stream /v1/responses '{"stream":true}'
refused '/v1/responses without a prompt' 400 'missing input/messages/prompt/instructions'
stream /v1/completions '{"stream":true}'
refused '/v1/completions without a prompt' 400 '"param":"prompt"'
stream /v1/completions '{"stream":true,"prompt":[1,2]}'
refused '/v1/completions with tokens' 400 '"param":"prompt"'
stream /api/chat '{"messages":5}' -H 'Accept: application/x-ndjson'
refused '/api/chat with wrong messages, Ollama' 400 '"error":"messages'
stream /api/generate '{"prompt":5}' -H 'Accept: text/event-stream'
refused '/api/generate with a wrong prompt, script' 400 '"error":{"message":"prompt'

echo
if [ "$failed" -gt 0 ]; then
  echo "$failed of $checked checks failed"
  exit 1
fi
echo "all $checked checks passed"
