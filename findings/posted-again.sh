#!/usr/bin/env bash
# A stream over POST breaks off after its first event. What does `@microsoft/fetch-event-source`, with which many chat pages
# read models, do with no `onerror` of its own? The server lets the fourth request end as it should.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts @microsoft/fetch-event-source@2.0.1 >>npm.log 2>&1
cat >run.mjs <<'NODE'
import http from 'node:http';
import { createRequire } from 'node:module';
let requests = 0;
const server = http.createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    requests += 1;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`data: the start of answer ${requests}\n\n`);
    setTimeout(() => (requests < 4 ? response.destroy() : response.end('data: and its end\n\n')), 50);
  });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
// What it needs of a page.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = createRequire(import.meta.url)('@microsoft/fetch-event-source');
const seen = [];
let end = 'resolves';
try {
  await fetchEventSource(`http://127.0.0.1:${server.address().port}/`, {
    method: 'POST', body: '{}', onmessage: (event) => seen.push(event.data),
  });
} catch (error) {
  end = `rejects: ${error.message}`;
}
console.log(`fetch-event-source 2.0.1: ${end} after ${requests} requests, with ${JSON.stringify(seen)}`);
process.exit(0);
NODE
timeout 60 node run.mjs | tee seen
cat >expected <<'TEXT'
fetch-event-source 2.0.1: resolves after 4 requests, with ["the start of answer 1","the start of answer 2","the start of answer 3","the start of answer 4","and its end"]
TEXT
diff expected seen
