#!/usr/bin/env bash
# Does Node's fetch tell an answer that was cut from a whole one? Each server below announces more
# than it sends and closes. The builtin fetch of Node 20.20 is undici 6.24.1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts \
  undici-6@npm:undici@6.24.1 undici-7@npm:undici@7.30.2 >>npm.log 2>&1
cat >run.mjs <<'NODE'
import net from 'node:net';
import * as six from 'undici-6';
import * as seven from 'undici-7';

const framings = { chunked: 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', 'with a length': 'Content-Length: 50\r\n\r\nhello' };
for (const [version, { fetch, Agent }] of [['6.24.1', six], ['7.30.2', seven]]) {
  for (const connection of ['keep-alive', 'close']) {
    for (const [name, body] of Object.entries(framings)) {
      const server = net.createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => {
          socket.write(`HTTP/1.1 200 OK\r\nConnection: ${connection}\r\nContent-Type: text/event-stream\r\n${body}`);
          setTimeout(() => socket.end(), 100);
        });
      });
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      let seen;
      try {
        const dispatcher = new Agent();
        const response = await fetch(`http://127.0.0.1:${server.address().port}`, { dispatcher });
        seen = `whole, ${(await response.text()).length} bytes`;
      } catch (error) {
        seen = `error: ${error.message}`;
      }
      console.log(`undici ${version}, Connection: ${connection}, ${name}: ${seen}`);
      server.close();
    }
  }
}
process.exit(0);
NODE
timeout 60 node run.mjs | tee seen
cat >expected <<'TEXT'
undici 6.24.1, Connection: keep-alive, chunked: error: terminated
undici 6.24.1, Connection: keep-alive, with a length: error: terminated
undici 6.24.1, Connection: close, chunked: whole, 5 bytes
undici 6.24.1, Connection: close, with a length: error: terminated
undici 7.30.2, Connection: keep-alive, chunked: error: terminated
undici 7.30.2, Connection: keep-alive, with a length: error: terminated
undici 7.30.2, Connection: close, chunked: error: terminated
undici 7.30.2, Connection: close, with a length: error: terminated
TEXT
diff expected seen
