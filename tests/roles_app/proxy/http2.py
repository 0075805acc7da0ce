"""HTTP/2 by hand (RFC 9113), because no library sends what is wrong: one request a connection, and the answer's status."""

import contextlib

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
LARGEST = 16384  # bytes of a frame, unless the other side says more (RFC 9113, 4.2)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# RFC 7541, appendix A: the static table's statuses.
STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def text(value):
    """A string literal without Huffman coding (RFC 7541, 5.2)."""
    data = value.encode("latin-1")
    size, more = (bytes([len(data)]), b"") if len(data) < 127 else (b"\x7f", number(len(data) - 127))
    return size + more + data


def number(value):
    """The rest of an integer beyond its prefix (RFC 7541, 5.1)."""
    found = b""
    while value >= 128:
        found += bytes([value % 128 + 128])
        value //= 128
    return found + bytes([value])


def block(headers):
    """Each header as it is, in no table: a literal without indexing, with a new name (RFC 7541, 6.2.2)."""
    return b"".join(b"\0" + text(name) + text(value) for name, value in headers)


def head(text_of, flags):
    """The frames of a block of headers."""
    parts = [text_of[at : at + LARGEST] for at in range(0, len(text_of), LARGEST)]
    last = len(parts) - 1
    return b"".join(
        frame(CONTINUATION if at else HEADERS, (END_HEADERS if at == last else 0) | (0 if at else flags), 1, part)
        for at, part in enumerate(parts)
    )


def status_of(payload):
    """The status that a block of NGINX's begins with: indexed, or a literal of three digits under the name of 8 to 14."""
    while payload and payload[0] & 0xE0 == 0x20:  # the table's size
        payload = payload[1:]
    if payload[0] & 0x80:
        return STATUSES[payload[0] & 0x7F]
    return int(payload[2:5])


def frames(stream):
    """(kind, flags, payload) as they come, until the connection ends."""
    reported = b""
    with contextlib.suppress(OSError):
        while part := stream.recv(65536):
            reported += part
            while len(reported) >= 9 and len(reported) >= 9 + int.from_bytes(reported[:3], "big"):
                size = int.from_bytes(reported[:3], "big")
                yield reported[3], reported[4], reported[9 : 9 + size]
                reported = reported[9 + size :]


def answer(stream, headers, body=None):
    """The answer's status; 0 where the request or the connection was ended without one. `body`: None for none."""
    stream.sendall(PREFACE + frame(SETTINGS, 0, 0))
    with contextlib.suppress(OSError):
        stream.sendall(head(block(headers), END_STREAM if body is None else 0))
    if body is not None:
        with contextlib.suppress(OSError):
            stream.sendall(frame(DATA, END_STREAM, 1, body))
    for kind, flags, payload in frames(stream):
        if kind == SETTINGS and not flags & ACK:
            with contextlib.suppress(OSError):
                stream.sendall(frame(SETTINGS, ACK, 0))
        elif kind == HEADERS:
            return status_of(payload)
        elif kind in (RST_STREAM, GOAWAY):
            return 0
    return 0
