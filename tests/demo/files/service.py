"""The online service of the demo: answers a line with a line, at a cost of some milliseconds of CPU."""

import os
import socketserver
import time

COST = 0.002


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for _ in self.rfile:
            spent = time.thread_time() + COST  # CPU seconds of this thread, not of the clock
            while time.thread_time() < spent:
                pass
            self.wfile.write(b"ok\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server((os.environ.get("LISTEN", "127.0.0.1"), 8000), Handler) as server:
    server.serve_forever()
