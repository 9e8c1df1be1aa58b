#!/usr/bin/env bash
# A model calls its tool in every answer. How does `runTools` of openai-js end?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts openai@6.49.0 >>npm.log 2>&1
cat >run.mjs <<'NODE'
import http from 'node:http';
import OpenAI from 'openai';
let requests = 0;
let runs = 0;
const server = http.createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    requests += 1;
    const tool_calls = [{ id: `call_${requests}`, type: 'function', function: { name: 'look', arguments: '{}' } }];
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({
      id: 'c', object: 'chat.completion', created: 1, model: 'm',
      choices: [{ index: 0, finish_reason: 'tool_calls', message: { role: 'assistant', content: null, tool_calls } }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    }));
  });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const client = new OpenAI({ apiKey: 'k', baseURL: `http://127.0.0.1:${server.address().port}/v1`, maxRetries: 0 });
for (const maxChatCompletions of [undefined, 2]) {
  requests = runs = 0;
  const look = { name: 'look', parameters: { type: 'object', properties: {} }, parse: JSON.parse, function: () => { runs += 1; return 'not yet'; } };
  const runner = client.chat.completions.runTools({ model: 'm', messages: [{ role: 'user', content: 'hi' }], tools: [{ type: 'function', function: look }] }, { maxChatCompletions });
  let end;
  try {
    end = `finalContent is ${JSON.stringify(await runner.finalContent())}, the last turn is the ${runner.messages.at(-1).role}'s`;
  } catch (error) {
    end = `rejects: ${error.message}`;
  }
  console.log(`openai 6.49.0, maxChatCompletions ${maxChatCompletions}: ${requests} requests, ${runs} runs of the tool, ${end}`);
}
process.exit(0);
NODE
timeout 60 node run.mjs | tee seen
cat >expected <<'TEXT'
openai 6.49.0, maxChatCompletions undefined: 10 requests, 10 runs of the tool, finalContent is null, the last turn is the tool's
openai 6.49.0, maxChatCompletions 2: 2 requests, 2 runs of the tool, finalContent is null, the last turn is the tool's
TEXT
diff expected seen
