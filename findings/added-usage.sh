#!/usr/bin/env bash
# Some servers put the usage so far on every chunk. What do LangChain's two clients, and the AI SDK,
# count for a prompt of 5 tokens and an answer of 3?
set -euo pipefail
folder=$(mktemp -d)
upstream=
trap '[ -z "$upstream" ] || kill "$upstream" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check langchain-openai==1.7.4
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts \
  @langchain/openai@1.5.8 @langchain/core@1.4.0 ai@6.0.326 @ai-sdk/openai-compatible@2.0.92 >>npm.log 2>&1
cat >upstream.mjs <<'NODE'
import http from 'node:http';
const chunk = (content, count, finish_reason = null) =>
  `data: ${JSON.stringify({
    id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm',
    choices: [{ index: 0, delta: content ? { content } : {}, finish_reason }],
    usage: { prompt_tokens: 5, completion_tokens: count, total_tokens: 5 + count },
  })}\n\n`;
const server = http.createServer((request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(chunk('a', 1) + chunk('b', 2) + chunk('c', 3) + chunk('', 3, 'stop') + 'data: [DONE]\n\n');
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
setTimeout(() => process.exit(0), 130000);
NODE
cat >client.mjs <<'NODE'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { ChatOpenAI } from '@langchain/openai';
import { streamText } from 'ai';
globalThis.AI_SDK_LOG_WARNINGS = false;
const baseURL = process.argv[2];
let whole;
for await (const chunk of await new ChatOpenAI({ model: 'm', apiKey: 'k', configuration: { baseURL } }).stream('hello'))
  whole = whole ? whole.concat(chunk) : chunk;
const { usage } = whole.response_metadata;
console.log(`@langchain/openai 1.5.8: usage_metadata ${whole.usage_metadata ?? 'none'}, response_metadata ${usage.prompt_tokens} and ${usage.completion_tokens}`);
const result = streamText({ model: createOpenAICompatible({ name: 'local', apiKey: 'k', baseURL })('m'), prompt: 'hello' });
await result.consumeStream();
const { inputTokens, outputTokens } = await result.usage;
console.log(`ai 6.0.326: ${inputTokens} and ${outputTokens}`);
NODE
cat >client.py <<'PYTHON'
import importlib.metadata, sys
from langchain_openai import ChatOpenAI

whole = None
for chunk in ChatOpenAI(model="m", api_key="k", base_url=sys.argv[1]).stream("hello"):
    whole = chunk if whole is None else whole + chunk
usage = whole.usage_metadata
print(f"langchain-openai {importlib.metadata.version('langchain-openai')}: usage_metadata {usage['input_tokens']} and {usage['output_tokens']}")
PYTHON
node upstream.mjs >port &
upstream=$!
for _ in {1..100}; do [ -s port ] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat port)/v1
{ timeout 60 venv/bin/python client.py "$url"; timeout 60 node client.mjs "$url"; } | tee seen
cat >expected <<'TEXT'
langchain-openai 1.7.4: usage_metadata 20 and 9
@langchain/openai 1.5.8: usage_metadata none, response_metadata 25 and 12
ai 6.0.326: 5 and 3
TEXT
diff expected seen
