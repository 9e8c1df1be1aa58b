#!/usr/bin/env bash
# A tool call reaches the token limit in the middle of {"payee": "Ann", "amount": 1200}, at 12.
# What do four clients hand to the program?
set -euo pipefail
folder=$(mktemp -d)
upstream=
trap '[ -z "$upstream" ] || kill "$upstream" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check anthropic==2.14.0 langchain-openai==1.7.4
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts \
  @anthropic-ai/sdk@1.14.0 ai@6.0.326 @ai-sdk/openai-compatible@2.0.92 >>npm.log 2>&1
cat >upstream.mjs <<'NODE'
import http from 'node:http';
const parts = ['{"payee": "Ann",', ' "amount": 12'];
const event = (type, more) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const begun = { id: 'm', type: 'message', role: 'assistant', content: [], model: 'm', stop_reason: null, usage: { input_tokens: 1, output_tokens: 1 } };
const anthropic = [
  event('message_start', { message: begun }),
  event('content_block_start', { index: 0, content_block: { type: 'tool_use', id: 't', name: 'pay', input: {} } }),
  ...parts.map((partial_json) => event('content_block_delta', { index: 0, delta: { type: 'input_json_delta', partial_json } })),
  event('content_block_stop', { index: 0 }),
  event('message_delta', { delta: { stop_reason: 'max_tokens' }, usage: { output_tokens: 9 } }),
  event('message_stop', {}),
].join('');
const chunk = (delta, finish_reason = null) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
const openai = [
  chunk({ role: 'assistant', tool_calls: [{ index: 0, id: 't', type: 'function', function: { name: 'pay', arguments: '' } }] }),
  ...parts.map((text) => chunk({ tool_calls: [{ index: 0, function: { arguments: text } }] })),
  chunk({}, 'length'),
  'data: [DONE]\n\n',
].join('');
const server = http.createServer((request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(request.url.endsWith('/messages') ? anthropic : openai);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
setTimeout(() => process.exit(0), 130000);
NODE
cat >client.mjs <<'NODE'
import Anthropic from '@anthropic-ai/sdk';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { jsonSchema, streamText, tool } from 'ai';
globalThis.AI_SDK_LOG_WARNINGS = false;
const [url] = process.argv.slice(2);
const message = await new Anthropic({ apiKey: 'k', baseURL: url })
  .messages.stream({ model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'hello' }] }).finalMessage();
console.log(`@anthropic-ai/sdk 1.14.0: ${message.stop_reason}, input ${JSON.stringify(message.content[0].input)}`);
const pay = tool({ inputSchema: jsonSchema({ type: 'object', properties: {} }) });
const model = createOpenAICompatible({ name: 'local', apiKey: 'k', baseURL: `${url}/v1` })('m');
const result = streamText({ model, prompt: 'hello', tools: { pay }, onError: () => {} });
await result.consumeStream();
const [call] = await result.toolCalls;
console.log(`ai 6.0.326: ${await result.finishReason}, invalid ${call.invalid === true}`);
NODE
cat >client.py <<'PYTHON'
import importlib.metadata, sys
import anthropic
from langchain_openai import ChatOpenAI

url = sys.argv[1]
client = anthropic.Anthropic(api_key="k", base_url=url)
with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hello"}]) as stream:
    message = stream.get_final_message()
print(f"anthropic {anthropic.__version__}: {message.stop_reason}, input {message.content[0].input}")
whole = None
for chunk in ChatOpenAI(model="m", api_key="k", base_url=f"{url}/v1").stream("hello"):
    whole = chunk if whole is None else whole + chunk
reason = whole.response_metadata["finish_reason"]
calls = [call["args"] for call in whole.tool_calls]
print(f"langchain-openai {importlib.metadata.version('langchain-openai')}: {reason}, calls {calls}, invalid calls {len(whole.invalid_tool_calls)}")
PYTHON
node upstream.mjs >port &
upstream=$!
for _ in {1..100}; do [ -s port ] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat port)
{ timeout 60 venv/bin/python client.py "$url"; timeout 60 node client.mjs "$url"; } | tee seen
cat >expected <<'TEXT'
anthropic 2.14.0: max_tokens, input {'payee': 'Ann', 'amount': 12}
langchain-openai 1.7.4: length, calls [{'payee': 'Ann', 'amount': 12}], invalid calls 0
@anthropic-ai/sdk 1.14.0: max_tokens, input {"payee":"Ann"}
ai 6.0.326: length, invalid true
TEXT
diff expected seen
