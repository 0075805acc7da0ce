"""Where a server itself reaches what listens on one of its addresses."""

from __future__ import annotations

# Who listens on every address listens on the loopback address, too.
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}


def local_address(bind_address):
    """The host part of a URL for a port bound to `bind_address`; IPv6 in brackets."""
    address = str(bind_address or "").strip().strip("[]")
    address = _EVERYWHERE.get(address, address)
    return f"[{address}]" if ":" in address else address


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"local_address": local_address}
