"""Whether callers are served: a request without content to each path, as callers send it, through the server's own proxy.

What an API answers to it tells who serves there, and is no audio that anybody pays. Its errors are documented as
{err_code, err_msg, request_id} or {category, message, details, request_id} (Deepgram's openapi.yml), its headers as dg-*.
What a path that takes only WebSocket says to a plain request is not documented.
"""

import json
import os
import time

from ansible.module_utils.deepgram import api_health as deepgram_api_health
from ansible.module_utils.host import http as host_http
from ansible.module_utils.host import network as host_network

TIMEOUT_S = 2
STREAMS = ("/v2/listen", "/v2/speak", "/v1/agent/converse")  # WebSocket only
OURS = b"\r\ncontent-security-policy: default-src 'none'"  # the role's server block says it with every answer
UNAVAILABLE = (502, 503, 504)
# What an answer is: the API's, that of another server block or program, that of no API at all, or something unlike the API's.
SERVED, FOREIGN, NOBODY, UNLIKE = "served", "foreign", "nobody", "unlike"


def start(tls):
    """Asks each path: (when its time is over, [(path, connection)]). Only who shows the role's certificate is asked."""
    asked, over, key = [], time.monotonic() + TIMEOUT_S, own_key(tls.get("credential"))
    for path in tls.get("paths") or ():
        try:
            connection = host_network.secured(tls, TIMEOUT_S)
            method = "GET" if path in STREAMS else "POST"
            host_http.send(connection, tls["server_name"], path, method, key)
        except (OSError, ValueError):
            break  # the comparison of the certificate says why
        asked.append((path, connection))
    return over, asked


def own_key(path):
    """The key that the server's own requests show; "" where none is needed, or none can be read."""
    try:
        with open(path or os.devnull, encoding="ascii") as stream:
            return stream.read(200).strip()
    except (OSError, ValueError):
        return ""


def answers(question):
    """(path, kind, what is wrong) of each path. Takes what `start` returned."""
    over, asked = question
    for path, connection in asked:
        try:
            with connection:
                status, head, body = host_http.receive(connection, over - time.monotonic())
        except OSError as error:
            yield path, NOBODY, f"no answer in {TIMEOUT_S} s ({error})"
            continue
        yield (path, *_judged(path, status, head, body))


def compare(tls, question, server):
    """(thing, how) of each path on which callers are not served."""
    for path, kind, wrong in answers(question):
        if kind == NOBODY:
            wrong = unavailable(wrong, tls["paths"][path], server, tls.get("members"))
        if wrong:
            yield f"path {path} on port {tls['port']}", wrong


def _judged(path, status, head, body):
    if OURS not in head:
        return FOREIGN, f"HTTP {status} from somebody else: another server block or program serves there"
    if status == 401:
        return UNLIKE, "HTTP 401: callers must show a key, and the server's own is refused or gone"
    if status in UNAVAILABLE:
        return NOBODY, f"HTTP {status}: no API takes requests"
    if _of_api(path, status, head, body):
        return SERVED, ""
    return UNLIKE, f"HTTP {status}, which is no answer of the API's"


def _of_api(path, status, head, body):
    try:
        reported = json.loads(body)
    except ValueError:
        reported = None
    if b"\r\ndg-" in head or status == 429:
        return True
    if isinstance(reported, dict):
        return status == 200 or ("request_id" in reported and ("err_code" in reported or "category" in reported))
    return path in STREAMS and 400 <= status < 500 and not body.lstrip().startswith(b"<")


def unavailable(wrong, names, server, members):
    """What is wrong where no API took the request; "" where one is only busy, or where its own role says more."""
    if members:
        known = (server.report(members) or {}).get("members") or {}
        states = {name: known.get(name, {}).get("state") or "unknown" for name in names}
        if "up" in states.values():
            return ""
        return f"{wrong} ({', '.join(f'{name} {state}' for name, state in sorted(states.items())) or 'no server'})"
    if not server.apis():
        return wrong
    reported = [server.answer(url) for url in server.urls() if url.endswith("/v1/status")]
    broken = any(one.get("status") != 200 or deepgram_api_health.active(one.get("body")) for one in reported)
    return "" if broken or not all(server.started(name) for name in server.apis()) else wrong
