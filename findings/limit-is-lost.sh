#!/usr/bin/env bash
# An answer of the Responses API meets its token limit: the stream ends with `response.incomplete`. Who hands it out?
set -euo pipefail
folder=$(mktemp -d)
upstream=
trap '[ -z "$upstream" ] || kill "$upstream" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openai==3.3.0 openai-agents==0.24.0
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts openai@6.49.0 >>npm.log 2>&1
cat >upstream.mjs <<'NODE'
import http from 'node:http';
const response = {
  id: 'resp_1', object: 'response', created_at: 1, model: 'm', status: 'in_progress', output: [], tools: [], metadata: {},
  parallel_tool_calls: true, tool_choice: 'auto', error: null, incomplete_details: null, instructions: null, temperature: 1, top_p: 1,
};
const part = { type: 'output_text', text: 'half an', annotations: [] };
const item = { id: 'msg_1', type: 'message', role: 'assistant', status: 'incomplete', content: [part] };
const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
const usage = { input_tokens: 5, output_tokens: 3, total_tokens: 8, input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } };
const whole = { ...response, status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' }, output: [item], usage };
const events = [
  { type: 'response.created', response },
  { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
  { type: 'response.content_part.added', ...place, part: { ...part, text: '' } },
  { type: 'response.output_text.delta', ...place, delta: 'half an', logprobs: [] },
  { type: 'response.output_text.done', ...place, text: 'half an', logprobs: [] },
  { type: 'response.content_part.done', ...place, part },
  { type: 'response.output_item.done', output_index: 0, item },
  { type: 'response.incomplete', response: whole },
];
const stream = events.map((it, sequence_number) => `event: ${it.type}\ndata: ${JSON.stringify({ ...it, sequence_number })}\n\n`).join('');
const server = http.createServer((request, reply) => {
  let body = '';
  request.on('data', (data) => (body += data));
  request.on('end', () => {
    const streams = JSON.parse(body).stream;
    reply.writeHead(200, { 'content-type': streams ? 'text/event-stream' : 'application/json' });
    reply.end(streams ? stream : JSON.stringify(whole));
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
setTimeout(() => process.exit(0), 130000);
NODE
cat >client.mjs <<'NODE'
import OpenAI from 'openai';
const client = new OpenAI({ apiKey: 'k', baseURL: process.argv[2] });
const done = await client.responses.stream({ model: 'm', input: 'hi' }).finalResponse();
console.log(`openai 6.49.0 (npm), finalResponse: '${done.output_text}', ${done.status}, ${done.usage.output_tokens} tokens`);
NODE
cat >client.py <<'PYTHON'
import sys
from importlib.metadata import version
import agents, openai

def helper():
    with openai.OpenAI(base_url=sys.argv[1], api_key="k").responses.stream(model="m", input="hi") as stream:
        return stream.get_final_response().output_text

def whole():
    return openai.OpenAI(base_url=sys.argv[1], api_key="k").responses.create(model="m", input="hi").output_text

def agent():
    agents.set_tracing_disabled(True)
    model = agents.OpenAIResponsesModel("m", openai.AsyncOpenAI(base_url=sys.argv[1], api_key="k"))
    return agents.Runner.run_sync(agents.Agent(name="a", model=model), "hi").final_output

for package, way, ask in (("openai", "create", whole), ("openai", "get_final_response", helper), ("openai-agents", "run_sync", agent)):
    try:
        seen = repr(ask())
    except Exception as error:
        seen = f"raises {type(error).__name__}"
    print(f"{package} {version(package)}, {way}: {seen}")
PYTHON
export NO_PROXY='*' no_proxy='*'
node upstream.mjs >port &
upstream=$!
for _ in {1..100}; do [ -s port ] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat port)/v1
{ timeout 60 venv/bin/python client.py "$url"; timeout 60 node client.mjs "$url"; } | tee seen
cat >expected <<'TEXT'
openai 3.3.0, create: 'half an'
openai 3.3.0, get_final_response: raises RuntimeError
openai-agents 0.24.0, run_sync: raises ModelBehaviorError
openai 6.49.0 (npm), finalResponse: 'half an', incomplete, 3 tokens
TEXT
diff expected seen
