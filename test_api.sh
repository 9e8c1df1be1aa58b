#!/usr/bin/env bash
# Asks a running Chorus on every endpoint and checks what comes back: answers, traces, lists, errors.
#
#   chorus demo &  ./test_api.sh
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

# ask METHOD PATH [CURL OPTIONS]: leaves $status, $folder/headers and $folder/body.
ask() {
  local method=$1 path=$2
  shift 2
  local how=(-X "$method")
  [ "$method" != HEAD ] || how=(--head)
  : >"$folder/headers"
  : >"$folder/body"
  status=$(curl --silent --show-error --noproxy '*' --max-time 180 "${how[@]}" \
    "${auth[@]+"${auth[@]}"}" --dump-header "$folder/headers" --output "$folder/body" \
    --write-out '%{http_code}' "$@" "$url$path") || status=000
}

# post PATH BODY [CURL OPTIONS]
post() {
  local path=$1 body=$2
  shift 2
  ask POST "$path" -H 'Content-Type: application/json' --data-binary "$body" "$@"
}

# check WHAT STATUS [TEXT...]: the status is this, and headers and body hold each text.
# A text that starts with ! must not be there. Header names are compared in lower case.
check() {
  local what=$1 wanted=$2 problem='' text
  shift 2
  [ "$status" = "$wanted" ] || problem="status $status instead of $wanted"
  tr '[:upper:]' '[:lower:]' <"$folder/headers" | tr -d '\r' | cat - "$folder/body" >"$folder/all"
  for text in "$@"; do
    if [ "${text#!}" != "$text" ]; then
      ! grep -qF -- "${text#!}" "$folder/all" || problem="${problem:+$problem; }has ${text#!}"
    else
      grep -qF -- "$text" "$folder/all" || problem="${problem:+$problem; }lacks $text"
    fi
  done
  checked=$((checked + 1))
  if [ -z "$problem" ]; then
    echo "ok    $what"
  else
    failed=$((failed + 1))
    echo "FAIL  $what: $problem"
    sed 's/^/      /' "$folder/body" | head -c 600
    echo
  fi
}

json='content-type: application/json'
openai_question='{"model":"chorus","messages":[{"role":"user","content":"Why is the sky blue?"}]}'
ollama_question='{"model":"chorus","stream":false,"messages":[{"role":"user","content":"天空为什么是蓝色的？"}]}'
prompt='{"model":"chorus","stream":false,"prompt":"Why is the sky blue?"}'
responses_question='{"model":"chorus","input":"Why is the sky blue?"}'

echo "Chorus at $url"
if ! curl --silent --fail --noproxy '*' --max-time 10 --output "$folder/health" "$url/health"; then
  echo "nothing answers there; start it with: chorus demo"
  exit 1
fi

echo "-- discovery"
ask GET /
check 'GET /' 200 'Ollama is running' 'x-request-id:'
ask HEAD /
check 'HEAD /' 200
ask GET /health
check 'GET /health' 200
ask GET /api/version
check 'GET /api/version' 200 "$json" '"version":"'
ask HEAD /api/version
check 'HEAD /api/version' 200
ask GET /api/tags
check 'GET /api/tags' 200 "$json" '"models":[' '"name":"chorus"' '"digest":"' '"size":'
ask GET /v1/models
check 'GET /v1/models' 200 "$json" '"object":"list"' '"id":"chorus"'
direct=$(grep -o '"id":"[^"]*"' "$folder/body" | sed -n '2s/"id":"\(.*\)"/\1/p' || true)
ask GET /v1/models/chorus
check 'GET /v1/models/chorus' 200 "$json" '"object":"model"' '"id":"chorus"' '"created":'
ask GET /api/ps
check 'GET /api/ps' 200 "$json" '"models":['
post /api/show '{"model":"chorus"}'
check 'POST /api/show' 200 "$json" '"model_info":{"general.architecture":"chorus"' \
  '"chorus.context_length":' '"capabilities":["completion"'
for path in / /api/version /api/tags /api/ps; do
  ask GET "/ollama$path"
  check "GET /ollama$path" 200
done
ask OPTIONS /v1/chat/completions -H 'Origin: http://localhost:3000' \
  -H 'Access-Control-Request-Method: POST'
check 'OPTIONS for a page of this machine' 204 'access-control-allow-origin: http://localhost:3000'

echo "-- answers"
post /v1/chat/completions "$openai_question"
check 'POST /v1/chat/completions' 200 "$json" '"object":"chat.completion"' '"finish_reason":"stop"' \
  '"total_tokens":' 'x-chorus-workflow-id:' 'x-request-id:' '!"workflow":'
post /api/chat "$ollama_question"
check 'POST /api/chat' 200 "$json" '"message":{"role":"assistant"' '"done":true' '"eval_count":' \
  '"total_duration":' '!"workflow":'
post /api/generate "$prompt"
check 'POST /api/generate' 200 "$json" '"response":"' '"done":true' '"done_reason":"stop"' \
  '"load_duration":' '!"workflow":'
ask POST /api/generate --data-binary "$prompt"
check 'a body sent as a form is read as JSON' 200 '"done":true'
post /api/generate '{"model":"chorus","prompt":""}'
check 'an empty prompt only loads' 200 "$json" '"done_reason":"load"'
post /ollama/api/chat "$ollama_question"
check 'POST /ollama/api/chat' 200 "$json" '"message":{"role":"assistant"' '"done":true'
post /v1/completions '{"prompt":["Why?","How?"]}'
check 'POST /v1/completions, two prompts' 200 "$json" '"object":"text_completion"' '"index":0' \
  '"index":1' '"finish_reason":"stop"' '"total_tokens":'
post /v1/responses "$responses_question"
check 'POST /v1/responses' 200 "$json" '"object":"response"' '"status":"completed"' \
  '"type":"output_text"' '"output_tokens":' 'x-chorus-workflow-id:' '!"workflow":'
first=$(grep -o '"id":"resp_[^"]*"' "$folder/body" | head -n 1 || true)
post /v1/responses "{\"input\":\"And at sunset?\",\"previous_response_id\":${first#\"id\":}}"
check 'POST /v1/responses, continued' 200 '"status":"completed"' \
  "\"previous_response_id\":${first#\"id\":}"

echo "-- the trace"
for path in /v1/chat/completions /v1/completions /v1/responses /api/chat /api/generate; do
  case $path in
    /v1/chat/completions) body=$openai_question ;;
    /v1/responses) body=$responses_question ;;
    /api/chat) body=$ollama_question ;;
    *) body=$prompt ;;
  esac
  post "$path" "${body%\}},\"include_workflow\":true}"
  check "include_workflow on $path" 200 '"workflow":{' '"mode":"workflow"' '"workers":[' \
    '"synthesizer":{' '"selected_worker":'
done
if [ -n "$direct" ]; then
  post /v1/chat/completions \
    "{\"model\":\"$direct\",\"include_workflow\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"
  check "model $direct alone" 200 "\"model\":\"$direct\"" '"mode":"direct"'
fi

echo "-- errors"
post /v1/chat/completions '{"model":'
check 'broken JSON, OpenAI' 400 "$json" '"error":{' '"type":"invalid_request_error"' \
  '"code":"invalid_request"'
post /api/chat '{"model":'
check 'broken JSON, script' 400 "$json" '"error":{' '"code":"invalid_request"'
post /api/chat '{"model":' -H 'Accept: application/x-ndjson'
check 'broken JSON, Ollama' 400 "$json" '"error":"' '"code":"invalid_request"'
post /v1/chat/completions '{"model":"chorus"}'
check 'no messages' 400 '"param":"messages"'
post /v1/chat/completions "${openai_question%\}},\"temperature\":3}"
check 'temperature out of range' 400 '"code":"invalid_request"'
post /v1/chat/completions "${openai_question%\}},\"n\":2}"
check 'more than one choice' 400 '"param":"n"'
post /v1/responses '{}'
check 'nothing asked' 400 '"invalid request: missing input/messages/prompt/instructions"'
post /v1/completions '{}'
check 'no prompt' 400 '"param":"prompt"'
for path in /v1/embeddings /api/embed /api/embeddings; do
  post "$path" '{"model":"chorus","input":"one"}'
  check "$path of a workflow" 400 "$json" '"code":"invalid_request"'
done
ask GET /v1/models/nobody
check 'an unknown model, OpenAI' 404 '"code":"model_not_found"' '"param":"model"'
post /api/show '{"model":"nobody"}'
check 'an unknown model, Ollama' 404 "model 'nobody' not found"
for operation in pull push create copy; do
  post "/api/$operation" '{"model":"x"}'
  check "/api/$operation" 501 '"code":"unsupported_operation"'
done
ask DELETE /api/delete
check '/api/delete' 501 '"code":"unsupported_operation"'
ask GET /nowhere
check 'unknown route' 404 '"code":"not_found"'
ask GET /v1/chat/completions
check 'wrong method' 405 '"code":"method_not_allowed"'
post /v1/chat/completions "$openai_question" -H 'Origin: https://elsewhere.example'
check 'a page of another origin' 403 '!"choices"'
ask GET /v1/models -H 'Host: elsewhere.example'
check 'another host name' 403 '!"object":"list"'

echo
if [ "$failed" -gt 0 ]; then
  echo "$failed of $checked checks failed"
  exit 1
fi
echo "all $checked checks passed"
