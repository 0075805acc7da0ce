"""One plain request on a connected socket: what an HTTP library does, without the time that it takes to load."""

import time

LIMIT = 4 << 20  # bytes of an answer that are read


def get(connection, host, target, timeout):
    """(status, body), within so many seconds. Raises OSError, also for what is no answer."""
    send(connection, host, target)
    status, _, body = receive(connection, timeout)
    return status, body


def send(connection, host, target, method="GET", key=""):
    """Asks; of a method that has content, without any. `key`: what the request shows for itself."""
    more = "" if method == "GET" else "Content-Length: 0\r\n"
    more += f"Authorization: Token {key}\r\n" if key else ""
    connection.sendall(f"{method} {target} HTTP/1.0\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode())


def receive(connection, timeout):
    """(status, headers in small letters, body), within so many seconds. Raises OSError, also for what is no answer."""
    deadline, parts, size = time.monotonic() + timeout, [], 0
    while size < LIMIT:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        part = connection.recv(1 << 16)
        if not part:
            break
        parts.append(part)
        size += len(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise OSError("its answer is no HTTP")
    return int(words[1]), head.lower(), body
