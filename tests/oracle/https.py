"""A real HTTPS server whose certificate nobody signed that the web knows, for the tests of delivery.

usage: https.py FOLDER

Prints its port, then a line per request that it was sent. Ends with its standard input.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from smtp import certificates


class Taker(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        print(self.path, flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    server.socket = certificates(Path(sys.argv[1])).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


main()
