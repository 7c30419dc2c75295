"""An S3 for tests on a port of this machine: s3.py PORT

It is moto's, one request at a time: moto looks whether a key is free and then writes, in threads,
so that of two puts of one key both could win, which S3 rules out.
"""

import sys
import threading

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple


class OneAtATime:
    def __init__(self, application):
        self.application = application
        self.turn = threading.Lock()

    def __call__(self, environ, start_response):
        with self.turn:
            return list(self.application(environ, start_response))


def main():
    application = OneAtATime(DomainDispatcherApplication(create_backend_app))
    address = ("127.0.0.1", int(sys.argv[1]))
    run_simple(*address, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
