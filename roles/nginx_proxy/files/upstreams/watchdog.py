"""What a server's own watchdog says: whether it takes itself out. Where nobody answers, the API alone is believed.

The question tells the server what this proxy does with it, and how many others of its profile serve: without that it stays.
"""

import http.client
import json

import health

TIMEOUT_S = 1


def reported(config, members, drained):
    """Name of a server -> (its state here, how many other servers of its profile serve, how many there are)."""
    found = {}
    for node in config["nodes"]:
        name = node["name"]
        others = {one["name"] for one in config["nodes"] if alike(one, node)} - {name}
        serving = [other for other in others if state(other, config, members, drained) == "up"]
        one = (state(name, config, members, drained), len(serving), len(others))
        found[name] = min(one, found.get(name, one), key=lambda each: each[1])
    return found


def alike(one, other):
    """Whether two nodes answer for each other."""
    return one["profile"] == other["profile"] and one.get("language") == other.get("language")


def state(name, config, members, drained):
    """up, down or drained, as in a report."""
    own = [members.get(node.get("id") or name, {}) for node in config["nodes"] if node["name"] == name]
    return "drained" if name in drained else "up" if all(member.get("up", True) for member in own) else "down"


def out(node, reported=None):
    """Why the server takes itself out; "" where it does not, and where nothing is known of that."""
    if not node.get("watch"):
        return ""
    host, port = health.split(node["watch"])
    headers = {"X-Deepgram-State": reported[0], "X-Deepgram-Others": f"{reported[1]}/{reported[2]}"} if reported else {}
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/watch", headers=headers)
        answer = json.loads(connection.getresponse().read(1 << 12))
        return str(answer.get("reason") or "no reason")[:200] if answer.get("out") is True else ""
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return ""
    finally:
        connection.close()
