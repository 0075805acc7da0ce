"""What the servers themselves say of how they are."""

import concurrent.futures
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time

import files
import secured

SERVING = ("Ready", "Healthy", "Degraded")
TIMEOUT_S = 2
SPARE_S = 1  # for DNS, beside TIMEOUT_S
AT_ONCE = 64
OUT = "out by itself"


def split(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def resolve(address, last):
    """The numeric host:port; the last known one while the name does not resolve, or still leads there."""
    host, port = split(address)
    try:
        found = [entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return last
    numeric = [f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in found]
    return last if last in numeric else numeric[0]


def ask(address, tls=None):
    """(health, active requests or None): the body counts, whatever the status. `tls`: whom to expect, see secured.py."""
    host, port = split(address)
    plain = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    connection = secured.Connection(tls, host, port, timeout=TIMEOUT_S) if tls else plain
    over = threading.Timer(TIMEOUT_S, end, [connection])
    over.daemon = True
    over.start()
    try:
        connection.request("GET", "/v1/status")
        answer = connection.getresponse()
        body = json.loads(answer.read(1 << 16))
        counts = [value for key, value in body.items() if key.startswith("active_") and isinstance(value, int)]
        return str(body.get("system_health") or f"HTTP {answer.status}")[:40], sum(counts)
    except ssl.SSLCertVerificationError as error:
        return f"{secured.REFUSED}: {error.verify_message}"[:120], None
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error or type(error).__name__}"[:120], None
    except (ValueError, AttributeError):
        return "no answer: not a status", None
    finally:
        over.cancel()
        connection.close()


def end(connection):
    """Ends a conversation whose time is over: a server that answers drop by drop keeps within the limit of each of its drops."""
    with contextlib.suppress(OSError, AttributeError):  # it is not connected yet, or no more
        connection.sock.shutdown(socket.SHUT_RDWR)


def look(node, last, tls=None):
    """{asked, address, health, active} of a node now, with TLS its scheme; address is None when its name never led anywhere.

    Servers are changed one after the other: one that nobody answers for at its new port, and at once, is asked at the one before.
    """
    address, started = resolve(node["address"], last), time.monotonic()
    if not address:
        return {
            "asked": node["address"],
            "address": address,
            "health": "no answer: its name does not resolve",
            "active": None,
        }
    found = look_there(node, address, tls)
    if found["active"] is None and moved(last, address) and time.monotonic() - started < SPARE_S:
        before = look_there(node, last, tls)
        return found if before["active"] is None else before
    return found


def look_there(node, address, tls):
    """The look at a node at this numeric address."""
    found = {"asked": node["address"], "address": address}
    if not node.get("tls"):
        health, active = ask(address)
        return {**found, "health": health, "active": active}
    scheme, health, active = secured.asked(ask, address, files.key(node), tls)
    return {**found, "health": health, "active": active, "scheme": scheme}


def moved(last, address):
    """Whether a server has another port than it had."""
    return bool(last) and last != address and split(last)[0] == split(address)[0]


def look_at(nodes, ask_own=None):
    """Key of a node -> look, all at the same time. A node of which DNS tells too late is none that answers.

    ask_own(node): why it takes itself out, "" where it does not; None asks nobody.
    """
    last = files.read_json(f"{files.KEPT}/addresses.json", {})
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=min(AT_ONCE, 2 * len(nodes) or 1))
    tls = (files.read_json(files.CONFIG, None) or {}).get("tls")
    own = {files.key(node): pool.submit(ask_own, node) for node in nodes if ask_own and node.get("watch")}
    asked = {files.key(node): pool.submit(look, node, last.get(files.key(node)), tls) for node in nodes}
    rounds = -(-(len(asked) + len(own)) // AT_ONCE)
    concurrent.futures.wait([*asked.values(), *own.values()], timeout=rounds * (TIMEOUT_S + SPARE_S))
    pool.shutdown(wait=False)
    found = {key: answered(asked[key], node, last.get(key)) for node in nodes for key in [files.key(node)]}
    for key in [key for key, one in own.items() if one.done() and one.result()]:
        found[key].update(health=f"{OUT}: {own[key].result()}", out=True)
    return without_taken(found)


def without_taken(found):
    """Looks in which nobody answers for an API whose port another one of its server still has, from before."""
    moves = {one["address"] for one in found.values() if one["address"] and not at_home(one)}
    for one in [one for one in found.values() if one["address"] in moves and at_home(one)]:
        one.update(health="no answer: another API of this server still has its port", active=None)
    return found


def at_home(look):
    """Whether the port that answered is the one that was asked for."""
    return split(look["address"])[1] == split(look["asked"])[1]


def find_overflow(config):
    """Notes where the name of the other deployment leads now. While it leads nowhere, the last address stays."""
    name = (config.get("overflow") or {}).get("address")
    if not name:
        return
    last = files.read_json(files.OVERFLOW, {}).get(name)
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    asked = pool.submit(resolve, name, last)
    concurrent.futures.wait([asked], timeout=TIMEOUT_S + SPARE_S)
    pool.shutdown(wait=False)
    if asked.done() and asked.result() != last:
        files.write(files.OVERFLOW, json.dumps({name: asked.result()}))


def answered(future, node, last):
    """The look that a future came to; of one that is still on its way, that there is no answer."""
    if future.done():
        return future.result()
    future.cancel()
    return {
        "asked": node["address"],
        "address": last,
        "health": "no answer: looking up its name takes too long",
        "active": None,
    }
