"""A port of this machine that nobody has."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Of loopback; whoever asks takes it at once."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
