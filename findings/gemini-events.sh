#!/usr/bin/env bash
# The event stream standard allows comments and `event:` lines before the data. What do Google's two
# SDKs make of them?
set -euo pipefail
folder=$(mktemp -d)
upstream=
trap '[ -z "$upstream" ] || kill "$upstream" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check google-genai==3.6.1
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts @google/genai@2.32.0 >>npm.log 2>&1
cat >upstream.mjs <<'NODE'
import http from 'node:http';
const before = { bare: '', event: 'event: message\n', comment: ': still here\n', apart: ': still here\n\n' };
const event = (text, finishReason) => `data: ${JSON.stringify({ candidates: [{ content: { role: 'model', parts: [{ text }] }, finishReason }] })}\n\n`;
const server = http.createServer((request, response) => {
  request.resume();
  const line = before[request.url.split('/')[1]];
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(line + event('Hello ') + line + event('world', 'STOP'));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
setTimeout(() => process.exit(0), 130000);
NODE
cat >client.mjs <<'NODE'
import { GoogleGenAI } from '@google/genai';
for (const kind of process.argv.slice(3)) {
  const client = new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: `${process.argv[2]}/${kind}` } });
  let seen = '';
  try {
    for await (const chunk of await client.models.generateContentStream({ model: 'm', contents: 'hello' })) seen += chunk.text ?? '';
    seen = JSON.stringify(seen);
  } catch (error) {
    seen = error.constructor.name;
  }
  console.log(`@google/genai 2.32.0, ${kind}: ${seen}`);
}
NODE
cat >client.py <<'PYTHON'
import importlib.metadata, json, sys
from google import genai

for kind in sys.argv[2:]:
    client = genai.Client(api_key="k", http_options={"base_url": f"{sys.argv[1]}/{kind}"})
    try:
        seen = json.dumps("".join(chunk.text or "" for chunk in client.models.generate_content_stream(model="m", contents="hello")))
    except Exception as error:
        seen = type(error).__name__
    print(f"google-genai {importlib.metadata.version('google-genai')}, {kind}: {seen}")
PYTHON
node upstream.mjs >port &
upstream=$!
for _ in {1..100}; do [ -s port ] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat port)
kinds=(bare apart event comment)
{ timeout 60 node client.mjs "$url" "${kinds[@]}"; timeout 60 venv/bin/python -W ignore client.py "$url" "${kinds[@]}" 2>client.log; } | tee seen
cat >expected <<'TEXT'
@google/genai 2.32.0, bare: "Hello world"
@google/genai 2.32.0, apart: "Hello world"
@google/genai 2.32.0, event: ""
@google/genai 2.32.0, comment: ""
google-genai 3.6.1, bare: "Hello world"
google-genai 3.6.1, apart: UnknownApiResponseError
google-genai 3.6.1, event: UnknownApiResponseError
google-genai 3.6.1, comment: UnknownApiResponseError
TEXT
diff expected seen
