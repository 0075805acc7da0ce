"""A small HTTP server on the loopback address that can be told to misbehave."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Served:
    """What the server holds and how it behaves."""

    def __init__(self):
        self.files = {}  # path: bytes
        self.version = "v1"  # goes into the ETag
        self.validators = True  # whether ETag and ranges are offered
        self.cut = []  # one entry a response: bytes after which the connection is closed, or None
        self.codes = []  # one entry a response: an HTTP code instead of the file, or None
        self.requests = []  # (path, Range header, bytes sent)
        self.stall = 0  # s of silence in the middle of a response

    def body_requests(self):
        return [entry for entry in self.requests if entry[1] != "bytes=0-0"]


def _handler(served):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            code = served.codes.pop(0) if served.codes else None
            data = served.files.get(self.path.partition("?")[0])
            if code or data is None:
                self.send_error(code or 404)
                return
            self._send(data)

        def _send(self, data):
            etag, asked = f'"{served.version}"', self.headers.get("Range")
            first, last = 0, len(data) - 1
            partial = asked and served.validators and self.headers.get("If-Range", etag) == etag
            if partial:
                begin, _, end = asked.partition("=")[2].partition("-")
                first, last = int(begin), min(int(end or last), last)
            self.send_response(206 if partial else 200)
            if partial:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            if served.validators:
                self.send_header("ETag", etag)
            body = data[first : last + 1]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            probe = asked == "bytes=0-0"
            cut = served.cut.pop(0) if served.cut and not probe else None
            served.requests.append((self.path, asked, len(body[:cut])))
            self.wfile.write(body[:cut])
            if served.stall and not probe:
                self.wfile.flush()
                threading.Event().wait(served.stall)
            if cut is not None:
                self.close_connection = True

        def log_message(self, *args):
            """Silent: pytest shows what matters."""

    return Handler


def start():
    """(served, base URL, stop)"""
    served = Served()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return served, f"http://127.0.0.1:{server.server_port}", server.shutdown
