"""Stands between an agent and Chorus for test_agents.sh: asks for the record of each run, and writes what it says.

    python3 watch.py CHORUS NOTES

Prints its port. A line per answer that has a record: `panel`, `alone` where its note says that the writer goes on alone, or `single`.
"""

import http.client
import http.server
import json
import re
import sys
import urllib.parse

chorus, notes = urllib.parse.urlsplit(sys.argv[1]), open(sys.argv[2], "a", buffering=1)
DROPPED = {"host", "content-length", "connection", "accept-encoding", "transfer-encoding"}


class Watch(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def passed(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "POST":
            try:
                body = json.dumps(json.loads(body) | {"include_workflow": True}).encode()
            except ValueError:
                pass
        headers = {name: value for name, value in self.headers.items() if name.lower() not in DROPPED}
        upstream = http.client.HTTPConnection(chorus.hostname, chorus.port, timeout=120)
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in DROPPED:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        whole = b""
        while piece := answer.read1(65536):
            whole += piece
            if self.command != "HEAD":
                self.wfile.write(piece)
                self.wfile.flush()
        text = whole.decode(errors="replace")
        if re.search(r'"workflow":\s*{', text):
            alone = re.search(r'"note":\s*"[^"]*goes on alone', text)
            panel = re.search(r'"selector":\s*{', text)
            notes.write("alone\n" if alone else "panel\n" if panel else "single\n")

    do_GET = do_POST = do_HEAD = do_DELETE = passed


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Watch)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
