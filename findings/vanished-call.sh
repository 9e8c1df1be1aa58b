#!/usr/bin/env bash
# Some servers send a whole tool call in one delta, with `index: null`. What do the streaming helper
# of openai-js make of it?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts openai@6.49.0 >>npm.log 2>&1
cat >run.mjs <<'NODE'
import http from 'node:http';
import OpenAI from 'openai';
const call = { index: null, id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } };
const streams = {
  'a call with index 0': [[{ role: 'assistant', tool_calls: [{ ...call, index: 0 }] }], [{}, 'tool_calls']],
  'a call with index null': [[{ role: 'assistant', tool_calls: [call] }], [{}, 'tool_calls']],
};
const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (data) => (body += data));
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const [delta, finish_reason = null] of streams[JSON.parse(body).model]) {
      const choices = [{ index: 0, delta, finish_reason }];
      response.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices })}\n\n`);
    }
    response.end('data: [DONE]\n\n');
  });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const client = new OpenAI({ apiKey: 'k', baseURL: `http://127.0.0.1:${server.address().port}/v1`, maxRetries: 0 });
for (const model of Object.keys(streams)) {
  const done = await client.chat.completions.stream({ model, messages: [{ role: 'user', content: 'hello' }] }).finalChatCompletion();
  const { message, finish_reason } = done.choices[0];
  const { content, tool_calls } = message;
  console.log(`openai 6.49.0, ${model}: ${JSON.stringify({ finish_reason, content, calls: tool_calls.length })}`);
}
process.exit(0);
NODE
timeout 60 node run.mjs | tee seen
cat >expected <<'TEXT'
openai 6.49.0, a call with index 0: {"finish_reason":"tool_calls","content":null,"calls":1}
openai 6.49.0, a call with index null: {"finish_reason":"tool_calls","content":null,"calls":0}
TEXT
diff expected seen
