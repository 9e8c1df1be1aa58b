#!/usr/bin/env bash
# Which JavaScript SDKs hang up when a program breaks out of the loop over a stream?
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts \
  openai@6.49.0 @anthropic-ai/sdk@1.14.0 ollama@0.6.4 @google/genai@2.32.0 >>npm.log 2>&1
cat >run.mjs <<'NODE'
import http from 'node:http';
import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';
import { Ollama } from 'ollama';
import { GoogleGenAI } from '@google/genai';

const sse = (value) => `data: ${JSON.stringify(value)}\n\n`;
const openai = (delta, finish_reason = null) =>
  sse({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason }] });
const event = (type, more) => `event: ${type}\n${sse({ type, ...more })}`;
const line = (content, done) =>
  JSON.stringify({ model: 'm', created_at: '2026-01-01T00:00:00Z', message: { role: 'assistant', content }, done }) + '\n';
const begun = { id: 'm', type: 'message', role: 'assistant', content: [], model: 'm', stop_reason: null, usage: { input_tokens: 1, output_tokens: 1 } };
// how each protocol begins, says a word and ends
const protocols = {
  '/v1/chat/completions': ['', openai({ content: 'a ' }), openai({}, 'stop') + 'data: [DONE]\n\n'],
  '/v1/messages': [
    event('message_start', { message: begun }) + event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'a ' } }),
    event('message_stop', {}),
  ],
  '/api/chat': ['', line('a ', false), line('', true)],
  '/v1beta/models/m:streamGenerateContent': ['', sse({ candidates: [{ content: { role: 'model', parts: [{ text: 'a ' }] } }] }), sse({})],
};
let ended;
const server = http.createServer((request, response) => {
  request.resume();
  const path = request.url.split('?')[0];
  const [first, word, last] = protocols[path];
  response.writeHead(200, { 'content-type': path.startsWith('/api') ? 'application/x-ndjson' : 'text/event-stream' });
  response.write(first);
  let said = 0;
  const timer = setInterval(() => {
    if (++said < 20) return response.write(word);
    clearInterval(timer);
    response.end(last);
  }, 100);
  ended = new Promise((resolve) =>
    response.on('close', () => {
      clearInterval(timer);
      resolve(response.writableFinished ? 'ran to its end' : 'hung up');
    }));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${server.address().port}`;
const messages = [{ role: 'user', content: 'hello' }];
const clients = {
  'openai 6.49.0': () => new OpenAI({ apiKey: 'k', baseURL: `${url}/v1` }).chat.completions.create({ model: 'm', messages, stream: true }),
  '@anthropic-ai/sdk 1.14.0': () => new Anthropic({ apiKey: 'k', baseURL: url }).messages.stream({ model: 'm', max_tokens: 99, messages }),
  'ollama 0.6.4': () => new Ollama({ host: url }).chat({ model: 'm', messages, stream: true }),
  '@google/genai 2.32.0': () =>
    new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: url } }).models.generateContentStream({ model: 'm', contents: 'hello' }),
};
for (const [name, ask] of Object.entries(clients)) {
  for await (const _ of await ask()) break;
  console.log(`${name}: after a break at the first piece the answer: ${await ended}`);
}
process.exit(0);
NODE
timeout 60 node run.mjs | tee seen
cat >expected <<'TEXT'
openai 6.49.0: after a break at the first piece the answer: hung up
@anthropic-ai/sdk 1.14.0: after a break at the first piece the answer: hung up
ollama 0.6.4: after a break at the first piece the answer: ran to its end
@google/genai 2.32.0: after a break at the first piece the answer: ran to its end
TEXT
diff expected seen
