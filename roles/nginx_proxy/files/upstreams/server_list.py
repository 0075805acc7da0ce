"""The text of the list that NGINX gets."""

import files
import secured
from files import key


def rendered(config, members, drained):
    """The text of upstreams.conf: one upstream a profile, also where nobody serves it, so that the site never changes."""
    speaking = ""
    blocks = ["# Written by deepgram-upstreams, again and again: changes made here are lost.\n"]
    for profile in config.get("profiles") or dict.fromkeys(["all", *(node["profile"] for node in config["nodes"])]):
        nodes = [node for node in config["nodes"] if node["profile"] in (profile, "all")]
        nodes = [node for node in nodes if profile != "all" or node["profile"] == "all"]
        scheme = secured.chosen(nodes, members, serving(nodes, members, drained)) if config.get("tls") else ""
        blocks.append(block(profile, nodes, config, members, drained, scheme))
        if scheme:
            blocks.append(f"map $host $deepgram_{profile}_scheme {{\n    default {scheme};\n}}\n")
        if profile == "aura":
            speaking = scheme
    for language in config.get("languages") or []:
        nodes = [node for node in config["nodes"] if node.get("language") == language]
        blocks.append(block(f"aura_{language}", nodes, config, members, drained, speaking))
    if config.get("overflow"):
        blocks.append(elsewhere(config["overflow"], files.read_json(files.OVERFLOW, {})))
    return "\n".join(blocks)


def serving(nodes, members, drained):
    """Who may get requests. Where nobody answers, the check is believed no more: all but drained ones serve."""
    awake = [node for node in nodes if node["name"] not in drained]
    return [node for node in awake if members.get(key(node), {}).get("up", True)] or awake


def elsewhere(overflow, addresses):
    """The upstream of another deployment, at the address that its name led to last."""
    address, limit = addresses.get(overflow["address"]), int(overflow["max_connections"])
    line = f"server {address} max_conns={limit} max_fails=0;" if address else "server 127.0.0.1:9 down;"
    body = f"    zone deepgram_overflow 64k;\n    {line}  # {overflow['address']}\n"
    return f"upstream deepgram_overflow {{\n{body}}}\n"


def block(name, nodes, config, members, drained, scheme=""):
    """One upstream. `scheme`: how its servers are asked, where they may differ in that."""
    lines = servers(nodes, config, members, drained, scheme) or ["server 127.0.0.1:9 down;  # nobody serves this"]
    # Without a zone each of NGINX's workers would count for itself, and max_conns hold for each of them.
    head = [f"zone deepgram_{name} 256k;", "least_conn;"]
    body = "".join(f"    {line}\n" for line in [*head, *lines, "keepalive 32;"])
    return f"upstream deepgram_{name} {{\n{body}}}\n"


def servers(nodes, config, members, drained, scheme=""):
    """The server lines of one upstream."""
    region = config.get("region") or ""
    up = serving(nodes, members, drained)
    if scheme:
        up = [node for node in up if secured.scheme_of(node, members.get(key(node))) == scheme]
    home = [node for node in nodes if node.get("region") == region] if region else nodes
    lines = []
    for node in nodes:
        address, limit = members.get(key(node), {}).get("address"), int(node.get("max_connections") or 0)
        words = ["server", address or "127.0.0.1:9", f"max_conns={limit}" if limit else "", "max_fails=0"]
        words.append("backup" if home and node not in home else "")
        words.append("down" if node not in up or not address else "")
        lines.append(" ".join(filter(None, words)) + f";  # {key(node)}")
    return lines
