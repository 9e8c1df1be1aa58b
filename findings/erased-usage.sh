#!/usr/bin/env bash
# A server reports the usage, and then sends one more chunk. Do the streaming helpers of both openai
# packages keep the count?
set -euo pipefail
folder=$(mktemp -d)
upstream=
trap '[ -z "$upstream" ] || kill "$upstream" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts openai@6.49.0 >>npm.log 2>&1
cat >upstream.mjs <<'NODE'
import http from 'node:http';
const usage = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };
const said = { index: 0, delta: { role: 'assistant', content: 'hi' }, finish_reason: null };
const stop = { index: 0, delta: {}, finish_reason: 'stop' };
const streams = {
  'usage last': [[said], [stop], [[], usage]],
  'usage, then a chunk with usage null': [[said], [stop], [[], usage], [[], null]],
  'usage with the text, none with the reason': [[said, usage], [stop]],
};
const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (data) => (body += data));
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const [choice, count] of streams[JSON.parse(body).model]) {
      const chunk = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [choice].flat() };
      if (count !== undefined) chunk.usage = count;
      response.write(`data: ${JSON.stringify(chunk)}\n\n`);
    }
    response.end('data: [DONE]\n\n');
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
setTimeout(() => process.exit(0), 130000);
NODE
cat >client.mjs <<'NODE'
import OpenAI from 'openai';
const client = new OpenAI({ apiKey: 'k', baseURL: process.argv[2], maxRetries: 0 });
for (const model of process.argv.slice(3)) {
  const done = await client.chat.completions.stream({ model, messages: [{ role: 'user', content: 'hello' }] }).finalChatCompletion();
  console.log(`openai-js 6.49.0, ${model}: ${done.usage?.total_tokens ?? 'none'}`);
}
NODE
cat >client.py <<'PYTHON'
import sys
import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="k", max_retries=0)
for model in sys.argv[2:]:
    with client.chat.completions.stream(model=model, messages=[{"role": "user", "content": "hello"}]) as stream:
        usage = stream.get_final_completion().usage
    print(f"openai-python {openai.__version__}, {model}: {usage.total_tokens if usage else 'none'}")
PYTHON
node upstream.mjs >port &
upstream=$!
for _ in {1..100}; do [ -s port ] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat port)/v1
models=('usage last' 'usage, then a chunk with usage null' 'usage with the text, none with the reason')
{ timeout 60 venv/bin/python client.py "$url" "${models[@]}"; timeout 60 node client.mjs "$url" "${models[@]}"; } | tee seen
cat >expected <<'TEXT'
openai-python 3.57.0, usage last: 7
openai-python 3.57.0, usage, then a chunk with usage null: none
openai-python 3.57.0, usage with the text, none with the reason: none
openai-js 6.49.0, usage last: 7
openai-js 6.49.0, usage, then a chunk with usage null: none
openai-js 6.49.0, usage with the text, none with the reason: 7
TEXT
diff expected seen
