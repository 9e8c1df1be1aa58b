#!/usr/bin/env bash
# The AI SDK is asked for an object with a schema. Does a model behind the openai-compatible provider
# ever see the schema?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts \
  ai@6.0.326 @ai-sdk/openai-compatible@2.0.92 @ai-sdk/openai@3.0.141 zod@4.1.12 >>npm.log 2>&1
cat >run.mjs <<'NODE'
import http from 'node:http';
import { generateText, Output } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { z } from 'zod';

let body;
const server = http.createServer((request, response) => {
  body = '';
  request.on('data', (data) => (body += data));
  request.on('end', () => {
    const message = { role: 'assistant', content: '{"celsius":3}' };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ id: 'c', created: 1, model: 'm', choices: [{ index: 0, message, finish_reason: 'stop' }] }));
  });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const options = { name: 'local', apiKey: 'k', baseURL: `http://127.0.0.1:${server.address().port}/v1` };
globalThis.AI_SDK_LOG_WARNINGS = false;
const providers = {
  'openai 3.0.141': createOpenAI(options).chat('m'),
  'openai-compatible 2.0.92': createOpenAICompatible(options)('m'),
  'openai-compatible 2.0.92 with supportsStructuredOutputs': createOpenAICompatible({ ...options, supportsStructuredOutputs: true })('m'),
};
for (const [name, model] of Object.entries(providers)) {
  const schema = z.object({ celsius: z.number() });
  const { output } = await generateText({ model, prompt: 'How warm is it?', output: Output.object({ schema }) });
  const { response_format } = JSON.parse(body);
  console.log(`ai 6.0.326, ${name}: ${response_format.type}, the schema is ${body.includes('celsius') ? '' : 'not '}in the request; got ${JSON.stringify(output)}`);
}
process.exit(0);
NODE
timeout 60 node run.mjs | tee seen
cat >expected <<'TEXT'
ai 6.0.326, openai 3.0.141: json_schema, the schema is in the request; got {"celsius":3}
ai 6.0.326, openai-compatible 2.0.92: json_object, the schema is not in the request; got {"celsius":3}
ai 6.0.326, openai-compatible 2.0.92 with supportsStructuredOutputs: json_schema, the schema is in the request; got {"celsius":3}
TEXT
diff expected seen
