"""The state of each server, as its looks make it: up or down, and how sure that is."""

import json
import time

import files
import health
import marks
import secured

IN_A_ROW = 2  # answers that change a server's state
FLAPPING_S = 600  # each fall within this time doubles the good answers that are asked for, up to MOST
MOST = 64


def judged(before, seen, drained, now):
    """The member's state after a look. A new member is what its first look says; a drained one collects no falls."""
    good = seen["health"] in health.SERVING
    if not before:
        return {**seen, "up": good, "row": 0, "falls": []}
    falls = [fall for fall in before["falls"] if now - FLAPPING_S < fall <= now]
    row = 0 if good == before["up"] else before["row"] + 1
    least = 1 if seen.get("out") else IN_A_ROW  # what a server says itself is no mistake of a moment
    needed = least if before["up"] else min(IN_A_ROW * 2 ** max(0, len(falls) - 1), MOST)
    if row < needed:
        return {**seen, "up": before["up"], "row": row, "falls": falls}
    return {**seen, "up": good, "row": 0, "falls": falls if good or drained else [*falls, now]}


def state():
    """Key of a node -> member, as the last look left it."""
    return files.read_json(f"{files.RUN}/state.json", {})


def write(members):
    files.write(f"{files.RUN}/state.json", json.dumps(members))


def known(config):
    """The part of the state that is about the nodes as they are configured now."""
    addresses = {files.key(node): node["address"] for node in config["nodes"]}
    return {name: member for name, member in state().items() if addresses.get(name) == member["asked"]}


def strangers(config):
    """Nodes that nobody has looked at yet."""
    members = known(config)
    return [node for node in config["nodes"] if files.key(node) not in members]


def learn(config, seen, drained):
    """Takes looks into the state, and forgets who left the configuration. Returns the state."""
    members, now = known(config), time.time()
    for node in config["nodes"]:
        name = files.key(node)
        if name in seen and seen[name]["asked"] == node["address"]:
            members[name] = judged(members.get(name), seen[name], node["name"] in drained, now)
    write(members)
    secured.learn(members)
    addresses = {name: member["address"] for name, member in members.items() if member["address"]}
    if addresses != files.read_json(f"{files.KEPT}/addresses.json", None):
        files.write(f"{files.KEPT}/addresses.json", json.dumps(addresses))
    return members


def report():
    """Name -> member, of every configured server and of every mark. A server with several APIs is up when all of them are."""
    nodes = {}
    for node in files.nodes():
        nodes.setdefault(node["name"], []).append(node)
    drained, members = marks.read(), state()
    found = {}
    for name in [*nodes, *(name for name in drained if name not in nodes)]:
        own, mark = [members.get(files.key(node), {}) for node in nodes.get(name, [])], drained.get(name, {})
        up = all(member.get("up", True) for member in own)
        found[name] = {
            "state": "drained" if name in drained else "up" if up else "down",
            **{key: mark.get(key) for key in ("reason", "note", "since")},
            **together(own),
            "address": ", ".join(node["address"] for node in nodes.get(name, [])) or None,
            "known": name in nodes,
        }
    return found


def together(looks):
    """{health, active} of a server: what its APIs say, each answer once, and how many requests they have."""
    reported = dict.fromkeys(look["health"] for look in looks if look.get("health"))
    counts = [look["active"] for look in looks if look.get("active") is not None]
    return {"health": ", ".join(reported) or None, "active": sum(counts) if counts else None}
