"""Who may read: this server itself, and the addresses, networks and names that it was told."""

import ipaddress
import socket
import time

AGAIN_S = 60  # names are resolved again


class Allowed:
    """The networks that may read; names keep their last addresses while they do not resolve."""

    def __init__(self, sources, resolve=socket.getaddrinfo):
        self.resolve, self.names, self.at = resolve, {}, None
        self.networks = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
        for source in sources:
            try:
                self.networks.append(ipaddress.ip_network(source, strict=False))
            except ValueError:
                self.names[source] = set()

    def __call__(self, address):
        """Whether a caller of this address may read."""
        asking = ipaddress.ip_address(address.partition("%")[0])
        asking = getattr(asking, "ipv4_mapped", None) or asking
        if any(asking in network for network in self.networks):
            return True
        self.refresh()
        return str(asking) in set().union(*self.names.values()) if self.names else False

    def refresh(self):
        if self.at is not None and time.monotonic() - self.at < AGAIN_S:
            return
        self.at = time.monotonic()
        for name in self.names:
            try:
                self.names[name] = {entry[4][0].partition("%")[0] for entry in self.resolve(name, None)}
            except (OSError, UnicodeError):
                continue
