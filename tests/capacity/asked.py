"""A Prometheus that answers as its HTTP API is documented: prometheus.io/docs/prometheus/latest/querying/api.

"expression queries": POST with a form; {"status": "success", "data": {"resultType": "vector" | "matrix", "result": [{"metric":
{..}, "value": [seconds, "text"]} | {"metric": {..}, "values": [[seconds, "text"], ..]}]}}; values are texts, "NaN" and "+Inf"
among them; errors are {"status": "error", "errorType": .., "error": ..} with HTTP 400, 422 or 503.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


def vector(*found):
    """Of (labels, value)."""
    result = [{"metric": labels, "value": [0, str(value)]} for labels, value in found]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def matrix(*found):
    """Of (labels, [(seconds, value)])."""
    result = [{"metric": labels, "values": [[at, str(value)] for at, value in points]} for labels, points in found]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def whole(now, requests, sound=(), **more):
    """A function query -> answer of one that has these hourly figures: profile -> [(seconds, value)]."""

    def answer(query, start, end):
        def hours(series):
            return matrix(
                *(({"profile": name}, [p for p in points if start <= p[0] <= end]) for name, points in series)
            )

        if query == "vector(time())":
            return vector(({}, now))
        if query.startswith("up{"):
            return vector(*more.get("up", [({"instance": "gpu1", "profile": "stt"}, 1)]))
        if "dgctl:engine_used:requests" in query:
            return hours(dict(requests).items())
        if "[1h:5m]" in query:
            return hours(dict(sound).items())
        if "dgctl_gpu_info" in query:
            return vector(*more.get("gpus", []))
        if "dgctl:engine_limit:requests" in query:
            return vector(*more.get("limits", []))
        return vector(*more.get("file_s", []))

    return answer


@contextmanager
def prometheus(answer, code=200, raw=None):
    """Its URL. `answer`: (query, start, end) -> document; `raw`: bytes in its place, or a function that writes to the socket."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asked = {name: values[0] for name, values in form.items()}
            if callable(raw):
                raw(self)
                return
            reported = (
                answer(asked["query"], float(asked.get("start", 0)), float(asked.get("end", 0))) if raw is None else raw
            )
            body = reported if isinstance(reported, bytes) else json.dumps(reported).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
