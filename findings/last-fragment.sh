#!/usr/bin/env bash
# What does the streaming helper of openai-js keep of a field that its types do not know, such as the
# reasoning that a model must be given back?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts openai@6.49.0 >>npm.log 2>&1
cat >run.mjs <<'NODE'
import http from 'node:http';
import OpenAI from 'openai';
const streams = {
  reasoning: [[{ role: 'assistant', reasoning_content: 'First, ' }], [{ reasoning_content: 'then ' }], [{ reasoning_content: 'last.' }], [{ content: 'yes' }], [{}, 'stop']],
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
  const { reasoning_content, content } = message;
  console.log(`openai 6.49.0, ${model}: ${JSON.stringify({ finish_reason, reasoning_content, content })}`);
}
process.exit(0);
NODE
timeout 60 node run.mjs | tee seen
cat >expected <<'TEXT'
openai 6.49.0, reasoning: {"finish_reason":"stop","reasoning_content":"last.","content":"yes"}
TEXT
diff expected seen
