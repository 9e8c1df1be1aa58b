#!/usr/bin/env bash
# A stream of the Responses API ends with `error` and `response.failed`, after half of the text.
# What do LangChain's two clients hand out?
set -euo pipefail
folder=$(mktemp -d)
upstream=
trap '[ -z "$upstream" ] || kill "$upstream" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check langchain-openai==1.7.4
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts @langchain/openai@1.5.8 @langchain/core@1.4.0 >>npm.log 2>&1
cat >upstream.mjs <<'NODE'
import http from 'node:http';
const response = {
  id: 'resp_1', object: 'response', created_at: 1, model: 'm', status: 'in_progress', output: [], tools: [], metadata: {},
  parallel_tool_calls: true, tool_choice: 'auto', error: null, incomplete_details: null, instructions: null, temperature: 1, top_p: 1,
};
const item = { id: 'msg_1', type: 'message', role: 'assistant', status: 'in_progress', content: [] };
const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
const error = { code: 'server_error', message: 'it broke off' };
const events = [
  { type: 'response.created', response },
  { type: 'response.output_item.added', output_index: 0, item },
  { type: 'response.content_part.added', ...place, part: { type: 'output_text', text: '', annotations: [] } },
  { type: 'response.output_text.delta', ...place, delta: 'half an', logprobs: [] },
  { type: 'error', ...error, param: null },
  { type: 'response.failed', response: { ...response, status: 'failed', error } },
];
const text = events.map((it, sequence_number) => `event: ${it.type}\ndata: ${JSON.stringify({ ...it, sequence_number })}\n\n`).join('');
const server = http.createServer((request, reply) => {
  request.resume();
  reply.writeHead(200, { 'content-type': 'text/event-stream' });
  reply.end(text);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
setTimeout(() => process.exit(0), 130000);
NODE
cat >client.mjs <<'NODE'
import { ChatOpenAI } from '@langchain/openai';
const model = new ChatOpenAI({ model: 'm', apiKey: 'k', useResponsesApi: true, maxRetries: 0, configuration: { baseURL: process.argv[2] } });
let seen;
try {
  let whole;
  for await (const chunk of await model.stream('hi')) whole = whole ? whole.concat(chunk) : chunk;
  seen = `'${whole.text}', status ${whole.response_metadata.status}`;
} catch (error) {
  seen = `raises ${error.constructor.name}`;
}
console.log(`@langchain/openai 1.5.8: ${seen}`);
NODE
cat >client.py <<'PYTHON'
import sys
from importlib.metadata import version
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="m", base_url=sys.argv[1], api_key="k", use_responses_api=True, max_retries=0)
try:
    seen = repr("".join(chunk.text for chunk in model.stream("hi")))
except Exception as error:
    seen = f"raises {type(error).__name__}"
print(f"langchain-openai {version('langchain-openai')}: {seen}")
PYTHON
export NO_PROXY='*' no_proxy='*'
node upstream.mjs >port &
upstream=$!
for _ in {1..100}; do [ -s port ] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat port)/v1
{ timeout 60 venv/bin/python client.py "$url"; timeout 60 node client.mjs "$url"; } | tee seen
cat >expected <<'TEXT'
langchain-openai 1.7.4: raises ValueError
@langchain/openai 1.5.8: 'half an', status undefined
TEXT
diff expected seen
