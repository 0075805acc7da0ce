"""What the servers themselves say of how they are."""

import concurrent.futures
import contextlib
import http.client
import json
import socket
import threading

import files

SERVING = ("Ready", "Healthy", "Degraded")
TIMEOUT_S = 2
SPARE_S = 1  # for DNS, beside TIMEOUT_S
AT_ONCE = 64


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


def ask(address):
    """(health, active requests or None): the body counts, whatever the status."""
    host, port = split(address)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    over = threading.Timer(TIMEOUT_S, end, [connection])
    over.daemon = True
    over.start()
    try:
        connection.request("GET", "/v1/status")
        answer = connection.getresponse()
        body = json.loads(answer.read(1 << 16))
        counts = [value for key, value in body.items() if key.startswith("active_") and isinstance(value, int)]
        return str(body.get("system_health") or f"HTTP {answer.status}")[:40], sum(counts)
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


def look(node, last):
    """{asked, address, health, active} of a node now; address is None when its name never led anywhere."""
    address = resolve(node["address"], last)
    health, active = ask(address) if address else ("no answer: its name does not resolve", None)
    return {"asked": node["address"], "address": address, "health": health, "active": active}


def look_at(nodes):
    """Key of a node -> look, all at the same time. A node of which DNS tells too late is none that answers."""
    last = files.read_json(f"{files.KEPT}/addresses.json", {})
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=min(AT_ONCE, len(nodes) or 1))
    asked = {files.key(node): pool.submit(look, node, last.get(files.key(node))) for node in nodes}
    rounds = -(-len(nodes) // AT_ONCE)
    concurrent.futures.wait(asked.values(), timeout=rounds * (TIMEOUT_S + SPARE_S))
    pool.shutdown(wait=False)
    return {key: answered(asked[key], node, last.get(key)) for node in nodes for key in [files.key(node)]}


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
