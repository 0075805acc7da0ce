"""APIs that answer over TLS: asked by the name that all their certificates have, and known by the deployment's authority.

While a running fleet changes over, some answer over TLS already and others do not yet. One that has never been seen with TLS is
asked without it too; one that has is not, until somebody drains it and gives it back.
"""

import functools
import http.client
import json
import os
import socket
import ssl

import files

REFUSED = "no answer: its certificate is not accepted"


class Connection(http.client.HTTPSConnection):
    """To one server, whose certificate must be of the authority and have the name; the address is only where it is."""

    def __init__(self, tls, *arguments, **options):
        super().__init__(*arguments, context=context(tls["authority"], os.stat(tls["authority"]).st_mtime), **options)
        self._name = tls["name"]

    def connect(self):
        self.sock = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


@functools.lru_cache(maxsize=1)
def context(path, _written):
    """The authority's file as it is now."""
    return ssl.create_default_context(cafile=path)


def seen():
    """The names of those that were ever seen with TLS."""
    return files.read_json(f"{files.KEPT}/secured.json", [])


def asked(ask, address, key, tls):
    """(scheme, health, active) of a node that is to answer over TLS."""
    try:
        health, active = ask(address, tls)
    except OSError as error:
        return "https", f"no answer: {tls['authority']}: {error.strerror}", None
    if active is None and not health.startswith(REFUSED) and key not in seen():
        plain, count = ask(address)
        if count is not None:
            return "http", plain, count
    return "https", health, active


def learn(members):
    """Remembers who was seen with TLS, as long as the configuration has them."""
    now = {name for name, member in members.items() if member.get("scheme") == "https" and member["active"] is not None}
    known = {name for name in seen() if name in members}
    if now - known:
        files.write(f"{files.KEPT}/secured.json", json.dumps(sorted(now | known)))


def forget(names):
    """Servers that somebody gives back on purpose may have gone back to a state without TLS."""
    left = [name for name in seen() if name not in names]
    if len(left) < len(seen()):
        files.write(f"{files.KEPT}/secured.json", json.dumps(left))


def scheme_of(node, member):
    """How a node is asked now."""
    return (member or {}).get("scheme") or ("https" if node.get("tls") else "http")


def chosen(nodes, members, awake):
    """The scheme of an upstream, which has one for all its servers: that of most of those who may serve."""
    schemes = [scheme_of(node, members.get(files.key(node))) for node in awake or nodes]
    return "http" if 2 * schemes.count("https") < len(schemes) else "https"
