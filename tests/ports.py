"""A port for a program that a test starts itself, so that nobody else takes it before the program does."""

import itertools
import os
import socket

# Below the kernel's ephemeral range (32768 and up, net.ipv4.ip_local_port_range): no outgoing connection and no
# server on port 0 gets one of these. Each of pytest-xdist's workers has a thousand of its own.
FIRST, EACH = 20000, 1000
_given = itertools.count(os.getpid() % EACH)


def free_port() -> int:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 12
    for number in itertools.islice(_given, EACH):
        port = FIRST + worker * EACH + number % EACH
        with socket.socket() as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port between {FIRST} and {FIRST + 12 * EACH} is free")
