"""What strangers try at the proxy, a row each: what they send, the only answers that may come. It is docs/reference/attacks.md.

Sent by a stranger (203.0.113.9), without a key unless the row has one. Whatever the answer is, the API must not have heard of it;
or, of what is `served`, of one request alone, whatever stands in its body.
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
    served: bool = False

    @property
    def has_key(self):
        return WITH_KEY in self.headers


@dataclass(frozen=True)
class Http2:
    """The same over HTTP/2: headers as they are sent. `body`: None for a request without one."""

    name: str
    headers: tuple
    answers: tuple = (0, 400)
    body: str | None = None
    served: bool = False

    @property
    def has_key(self):
        return ("authorization", f"Token {KEY}") in self.headers


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
# What would be a request of its own, if the body before it ended earlier than it is said to.
RIDER = "POST /v1/listen HTTP/1.1\r\nHost: gpu1\r\nX-Smuggled: yes\r\nContent-Length: 0\r\n\r\n"
LAST = "0\r\n\r\n"  # the chunk that ends a body


def _framed(name, *headers, answers=(400,), body=LAST + RIDER, **more):
    return _post(name, WITH_KEY, *headers, answers=answers, body=body, **more)


FRAMING = (
    _framed("the same length twice", "Content-Length: 4", "Content-Length: 4"),
    _framed("a length as a list", "Content-Length: 4, 4"),
    _framed("a length with a sign", "Content-Length: +4"),
    _framed("a length in hexadecimal", "Content-Length: 0x4"),
    _framed("a length of two words", "Content-Length: 4 4"),
    _framed("an empty length", "Content-Length:"),
    _framed("a length beyond every number", "Content-Length: 99999999999999999999"),
    _framed(
        "a second length with an underscore", "Content_Length: 60", "Content-Length: 4", answers=(200,), served=True
    ),
    _framed("chunks in capitals", "Transfer-Encoding: CHUNKED", answers=(200,), served=True),
    _framed("a length and chunks in capitals", "Transfer-Encoding: Chunked", "Content-Length: 4"),
    _framed("chunks, a space before the colon", "Transfer-Encoding : chunked", "Content-Length: 4"),
    _framed("chunks, a tab before the colon", "Transfer-Encoding\t: chunked", "Content-Length: 4"),
    _framed("chunks, a tab before the word", "Transfer-Encoding: \tchunked", answers=(400, 501)),
    _framed("chunks, a vertical tab before the word", "Transfer-Encoding:\x0bchunked", answers=(400, 501)),
    _framed("chunks on the next line (folded)", "Transfer-Encoding:\r\n chunked", "Content-Length: 4"),
    _framed("chunks behind a space, as the line before goes on", " Transfer-Encoding: chunked", "Content-Length: 4"),
    _framed("chunks, and a NUL behind", "Transfer-Encoding: chunked\0", "Content-Length: 4"),
    _framed("chunks in quotation marks", 'Transfer-Encoding: "chunked"', answers=(400, 501)),
    _framed(
        "chunks of which nothing is said (identity)",
        "Transfer-Encoding: identity",
        "Content-Length: 4",
        answers=(400, 501),
    ),
    _framed("chunks and identity", "Transfer-Encoding: chunked, identity", answers=(400, 501)),
    _framed(
        "chunks with an underscore", "Transfer_Encoding: chunked", "Content-Length: 4", answers=(200,), served=True
    ),
    _framed("chunks by TE", "TE: chunked", "Content-Length: 4", answers=(200,), served=True),
    Attack(
        "chunks in HTTP/1.0",
        "POST /v1/listen HTTP/1.0",
        (WITH_KEY, "Transfer-Encoding: chunked"),
        (400,),
        body=LAST + RIDER,
    ),
    _framed("a chunk below nothing", "Transfer-Encoding: chunked", body="-1\r\nabc"),
    _framed("a chunk beyond every number", "Transfer-Encoding: chunked", body="FFFFFFFFFFFFFFFFF\r\nabc"),
    _framed(
        "headers behind the last chunk",
        "Transfer-Encoding: chunked",
        answers=(200,),
        served=True,
        body="0\r\nX-Smuggled: yes\r\n\r\n" + RIDER,
    ),
    _get(
        "HTTP/2 in clear (h2c), on the port with TLS",
        "/v1/listen",
        WITH_KEY,
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
        answers=(200,),
        served=True,
    ),
    Attack("HTTP/2 without asking for it", "PRI * HTTP/2.0", (), (0, 400, 405, 505), host="", body="SM\r\n\r\n"),
)
SIZES = (
    _framed("a chunk of 3 GB", "Transfer-Encoding: chunked", answers=(413,), body="C0000000\r\nabc"),
    _post("a header's name of 70 kB", WITH_KEY, f"{'x' * 70_000}: y", answers=(0, 400, 431)),
    _post("a header's name of 70 kB that never ends", WITH_KEY, "x" * 70_000, answers=(0, 400, 431)),
    _post("a header's name of 300 kB", WITH_KEY, f"{'x' * 300_000}: y", answers=(0, 400, 431)),
    _post(
        "1,000 headers of 1 kB",
        WITH_KEY,
        *(f"X-{number}: {'y' * 1000}" for number in range(1000)),
        answers=(0, 400, 431),
    ),
    _post("50,000 headers", WITH_KEY, *(f"X{number}: y" for number in range(50_000)), answers=(0, 400, 431)),
)


def http2_request(name, *more, key=True, method="POST", path="/v1/listen", authority="gpu1", scheme="https", **rest):
    begin = ((":method", method), (":scheme", scheme), (":path", path), (":authority", authority))
    own = (("authorization", f"Token {KEY}"),) if key else ()
    return Http2(name, (*begin, *own, ("x-forwarded-for", "203.0.113.9"), *more), **rest)


WEBSOCKET = (
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
# Requests whose fields would be other requests in HTTP/1, which is what the API is asked in (RFC 9113, 8.2 and 10.3).
HTTP2 = (
    http2_request("no key", key=False, answers=(401,)),
    http2_request("a body without a key", key=False, body=RIDER, answers=(401,)),
    http2_request("the API's status", path="/v1/status", answers=(403,)),
    http2_request(
        "chunks in a header (H2.TE)",
        ("transfer-encoding", "chunked"),
        body=LAST + RIDER,
        answers=(0, 200, 400),
        served=True,
    ),
    http2_request(
        "a length of nothing before a body (H2.CL)",
        ("content-length", "0"),
        body=RIDER,
        answers=(0, 200, 400),
        served=True,
    ),
    http2_request(
        "a length below the body's", ("content-length", "4"), body="abcd" + RIDER, answers=(0, 200, 400), served=True
    ),
    http2_request("a length above the body's", ("content-length", "1000"), body="abcd", served=True),
    http2_request("two lengths", ("content-length", "4"), ("content-length", "60"), body="abcd" + RIDER),
    http2_request("a length and chunks", ("content-length", "4"), ("transfer-encoding", "chunked"), body=LAST + RIDER),
    http2_request("a line break in a value", ("x-any", "a\r\nTransfer-Encoding: chunked"), body=LAST + RIDER),
    http2_request("half a line break in a value", ("x-any", "a\nTransfer-Encoding: chunked"), body=LAST + RIDER),
    http2_request("a line break in a name", ("x: a\r\ntransfer-encoding", "chunked"), body=LAST + RIDER),
    http2_request("a colon in a name", ("transfer-encoding: chunked", "x"), body=LAST + RIDER),
    http2_request("a name in capitals", ("Transfer-Encoding", "chunked"), body=LAST + RIDER),
    http2_request("a NUL in a value", ("x-any", "a\0b")),
    http2_request("a request in the path", path=f"/v1/listen HTTP/1.1\r\nHost: gpu1\r\n\r\n{RIDER}"),
    http2_request("a version in the path", path="/v1/listen HTTP/1.1"),
    http2_request("a request in the method", method=f"{RIDER}POST"),
    http2_request("an address in the scheme", scheme="https://gpu1/v1/status?"),
    http2_request("a path in the authority", authority="gpu1/v1/status"),
    http2_request("two paths", (":path", "/v1/status")),
    http2_request("a Host beside the authority", ("host", "elsewhere")),
    http2_request("a tunnel (CONNECT)", method="CONNECT", answers=(0, 400, 403, 405)),
    http2_request("a WebSocket by HTTP/1's headers, no key", *WEBSOCKET, key=False, method="GET", answers=(401,)),
    http2_request("a WebSocket by HTTP/1's headers", *WEBSOCKET, method="GET", answers=(0, 200, 400), served=True),
    http2_request("chunks by TE", ("te", "chunked"), answers=(0, 200, 400), served=True),
    http2_request("a header of 300 kB", ("x-any", "x" * 300_000)),
    http2_request("a header's name of 70 kB", ("x" * 70_000, "y")),
)
GROUPS = {
    "Credentials": CREDENTIALS,
    "Paths": PATHS,
    "Requests": REQUESTS,
    "Framing": FRAMING,
    "HTTP/2": HTTP2,
    "Sizes": SIZES,
}
# These are tests of their own (test_attacks.py): what they are, and what must become of them.
SLOW = (
    ("200 connections that send a header drop by drop", "another caller is served meanwhile, within 400 ms"),
    ("a header that never ends", "closed after client_header_timeout, 15 s, however many drops came"),
    ("a body without a key that never comes", "refused at once: nobody waits for what would be refused"),
    ("a TLS handshake that never comes", "closed after the same time"),
    ("60 bodies of 2 GB without a key", "refused at once, and nothing of them is on the disk"),
    (
        "40 bodies of 2 GB with a key, cut off",
        "another caller is served meanwhile, within 400 ms; nothing of them stays on the disk",
    ),
    (
        "bodies of 2 GB until the buffer's file system is full",
        "503 to them; others are served, and larger ones again once these are gone",
    ),
)
