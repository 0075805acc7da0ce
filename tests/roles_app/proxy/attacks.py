"""What strangers try at the proxy, a row each: what they send, and the only answers that may come. docs/attacks.md shows it.

Sent by a stranger (203.0.113.9), without a key unless the row has one. Whatever the answer is, the API must not have heard of it.
"""

from dataclasses import dataclass

KEY, REVOKED = "a" * 64, "b" * 64
WITH_KEY = f"Authorization: Token {KEY}"
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@dataclass(frozen=True)
class Attack:
    """`line`: the request's first line; `headers` beside Host and Connection. `answers`: 0 is a closed connection."""

    name: str
    line: str
    headers: tuple = ()
    answers: tuple = (400, 401, 403, 404)
    host: str = "Host: gpu1"
    body: str = ""


def _get(name, path, *headers, **more):
    return Attack(name, f"GET {path} HTTP/1.1", headers, **more)


def _post(name, *headers, path="/v1/listen", **more):
    return Attack(name, f"POST {path} HTTP/1.1", headers, **more)


CREDENTIALS = (
    _post("no key", answers=(401,)),
    _post("a key that was revoked", f"Authorization: Token {REVOKED}", answers=(401,)),
    _post("an empty key", "Authorization: Token ", answers=(401,)),
    _post("the word alone", "Authorization: Token", answers=(401,)),
    _post("a key as Basic", "Authorization: Basic YWFhOmFhYQ==", answers=(401,)),
    _post("the key's digest as the key", "Authorization: Token 0123456789abcdef" + "0" * 48, answers=(401,)),
    _post("the key in the query", path=f"/v1/listen?token={KEY}&access_token={KEY}", answers=(401,)),
    _post("the key in a cookie", f"Cookie: token={KEY}", answers=(401,)),
    _post(
        "the key behind a line break that is none", f"Authorization: x\\r\\nAuthorization: Token {KEY}", answers=(401,)
    ),
    _post("a header with an underscore in place of the dash", f"X_Authorization: Token {KEY}", answers=(401,)),
    _post("the header that the proxy itself sends to the checker", f"X-Authorization: Token {KEY}", answers=(401,)),
    _post("a certificate said to be verified", "X-Certificate: SUCCESS", "X-Subject: CN=caller", answers=(401,)),
    _get("a WebSocket without a key", "/v1/listen", *UPGRADE, answers=(401,)),
    _get(
        "a WebSocket with the word and no key", "/v1/listen", *UPGRADE, "Sec-WebSocket-Protocol: token", answers=(401,)
    ),
    _get(
        "HTTP/2 in clear (h2c)",
        "/v1/listen",
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
        answers=(401,),
    ),
)
PATHS = (
    _get("the API's status", "/v1/status"),
    _get("its status, two slashes", "//v1//status"),
    _get("its status from a place that callers may ask", "/v1/listen/../status"),
    _get("the same, escaped", "/v1/listen/%2e%2e/status"),
    _get("the same, the slash escaped", "/v1/listen%2f..%2fstatus"),
    _get("the same with a backslash", "/v1/listen\\..\\status"),
    _get("the same with a path parameter", "/v1/listen;/../status"),
    _get("capital letters", "/V1/STATUS"),
    _get("an escaped letter", "/v1/%73tatus"),
    _get("a NUL at the end", "/v1/status%00"),
    _get("a fragment", "/v1/status#/v1/listen"),
    _get("as an address (absolute form)", "http://gpu1/v1/status"),
    _get("the metrics", "/metrics"),
    _get("the metrics under the API's path", "/v1/../metrics"),
    _get("a file of the server", "/..%2f..%2f..%2fetc/passwd"),
    _get("the place where keys are checked", "/deepgram-callers"),
    _get("status as somebody who is allowed", "/v1/status", "X-Forwarded-For: 127.0.0.1, 203.0.113.9"),
    _get("status by a header of other proxies", "/v1/status", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1"),
    _get(
        "another path by a header of other proxies",
        "/v1/listen",
        "X-Original-URL: /v1/status",
        "X-Rewrite-URL: /v1/status",
    ),
)
REQUESTS = (
    Attack("no Host", "POST /v1/listen HTTP/1.1", (WITH_KEY,), (400,), host=""),
    _post("two Hosts", WITH_KEY, "Host: elsewhere", answers=(400,)),
    _post("an empty Host and another", WITH_KEY, "Host: gpu1", answers=(400,), host="Host:"),
    _post("a Host that is a path", WITH_KEY, answers=(400,), host="Host: gpu1/v1/status"),
    Attack("HTTP/0.9", "GET /v1/listen", (), (0, 400, 401)),
    Attack("HTTP/2 by its name", "GET /v1/listen HTTP/2.0", (WITH_KEY,), (0, 400, 505)),
    Attack("a tunnel (CONNECT)", "CONNECT 127.0.0.1:8080 HTTP/1.1", (WITH_KEY,), (400, 403, 404, 405)),
    Attack("TRACE", "TRACE /v1/listen HTTP/1.1", (WITH_KEY,), (400, 403, 405)),
    Attack("a method that is none", "G@T /v1/listen HTTP/1.1", (WITH_KEY,), (400,)),
    _post("a NUL in a header", WITH_KEY, "X-Any: a\0b", answers=(400,)),
    _post("a header without a name", WITH_KEY, ": x", answers=(400,)),
    _post("a space before the colon", WITH_KEY, "Content-Length : 0", answers=(400,)),
    _post("a length below nothing", WITH_KEY, "Content-Length: -1", answers=(400,)),
    _post("two lengths", WITH_KEY, "Content-Length: 0", "Content-Length: 5", answers=(400,)),
    _post("a length and chunks (CL.TE)", WITH_KEY, "Content-Length: 4", "Transfer-Encoding: chunked", answers=(400,)),
    _post("chunks by another name (TE.TE)", WITH_KEY, "Transfer-Encoding: xchunked", answers=(400, 501)),
    _post("chunks twice", WITH_KEY, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", answers=(400, 501)),
    _post("a file of 3 GB, by its length", WITH_KEY, "Content-Length: 3221225472", answers=(413,)),
    _post("a header of 300 kB", WITH_KEY, f"X-Any: {'x' * 300_000}", answers=(0, 400, 414, 431)),
    Attack("a path of 300 kB", f"GET /v1/listen?{'x' * 300_000} HTTP/1.1", (WITH_KEY,), (0, 400, 414)),
)
GROUPS = {"Credentials": CREDENTIALS, "Paths": PATHS, "Requests": REQUESTS}
# These are tests of their own (test_attacks.py): what they are, and what must become of them.
SLOW = (
    ("200 connections that send a header drop by drop", "another caller is served meanwhile, within 400 ms"),
    ("a header that never ends", "closed after client_header_timeout, 15 s, however many drops came"),
    ("a body without a key that never comes", "refused at once: nobody waits for what would be refused"),
    ("a TLS handshake that never comes", "closed after the same time"),
)
