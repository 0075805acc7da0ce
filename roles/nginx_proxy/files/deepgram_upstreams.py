#!/usr/bin/python3
"""Keeps NGINX's list of Deepgram servers: who serves, who is drained, who does not answer.

  deepgram-upstreams watch             asks every server how it is, again and again; the unit runs this
  deepgram-upstreams report            every server with its state, as JSON
  deepgram-upstreams drain NAME...     no new requests go there; those that it has go on
  deepgram-upstreams undrain NAME...
  deepgram-upstreams render            brings the list up to date once
  deepgram-upstreams reload            has NGINX take its files, as all of these do when they change the list

Exit status 0, or 1 with a sentence on stderr. All but `watch` print {changed, members} as JSON.
A member is {state, reason, note, since, health, active, address, known}.
"""

import argparse
import concurrent.futures
import contextlib
import fcntl
import hashlib
import http.client
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

CONFIG = "/etc/nginx/deepgram/upstreams.json"
KEPT = "/var/lib/deepgram-upstreams"  # upstreams.conf, addresses.json, drained/NAME
RUN = "/run/deepgram-upstreams"  # state.json, members.json (for others to read), live, lock, closing
NGINX_PID = "/run/nginx.pid"
PROC = "/proc"

PROFILES = ("all", "stt", "flux", "aura", "flux_tts", "agent")
SERVING = ("Ready", "Healthy", "Degraded")
IN_A_ROW = 2  # answers that change a server's state
FLAPPING_S = 600  # each fall within this time doubles the good answers that are asked for, up to MOST
MOST = 64
TIMEOUT_S = 2
RELOAD_S = 20
CLOSING_S = 6  # what the configuration says, by default; see closing()
FALL_CLOSING_S = 1.5  # the most for what the watch has found: a server that fell gets requests until then


class Refused(Exception):
    """What could not be done, in one sentence."""


# --- Files ---


def read(path, default=None):
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return default


def read_json(path, default):
    """What a file holds; the default when it is missing or torn."""
    try:
        return json.loads(read(path) or "")
    except ValueError:
        return default


def write(path, text):
    """Replaces a file at once."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(handle, 0o644)
            stream.write(text)
            stream.flush()
            os.fsync(handle)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


@contextlib.contextmanager
def alone():
    """One at a time changes marks, state and NGINX."""
    os.makedirs(RUN, mode=0o755, exist_ok=True)
    with open(f"{RUN}/lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        keep_again()  # who held the lock before may have been killed
        yield


def configuration():
    config = read_json(CONFIG, None)
    if not isinstance(config, dict) or not isinstance(config.get("nodes"), list):
        raise Refused(f"{CONFIG} is missing or is no configuration; provision this proxy again")
    return config


def mark_path(name):
    quoted = urllib.parse.quote(name, safe="")
    if quoted in ("", ".", ".."):
        raise Refused(f"{name!r} is no server's name")
    return f"{KEPT}/drained/{quoted}"


def marks():
    """Name -> {reason, note, since} of every drained server, also of those that the configuration does not know."""
    try:
        names = sorted(name for name in os.listdir(f"{KEPT}/drained") if not name.startswith(".new-"))
    except FileNotFoundError:
        return {}
    return {urllib.parse.unquote(name): read_json(f"{KEPT}/drained/{name}", {}) for name in names}


# --- What the servers say ---


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
        connection.close()


def look(node, last):
    """{asked, address, health, active} of a node now; address is None when its name never led anywhere."""
    address = resolve(node["address"], last)
    health, active = ask(address) if address else ("no answer: its name does not resolve", None)
    return {"asked": node["address"], "address": address, "health": health, "active": active}


def look_at(nodes):
    """Name -> look, all at the same time."""
    last = read_json(f"{KEPT}/addresses.json", {})
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(64, len(nodes) or 1)) as pool:
        found = pool.map(lambda node: (node["name"], look(node, last.get(node["name"]))), nodes)
        return dict(found)


def judged(before, seen, drained, now):
    """The member's state after a look. A new member is what its first look says; a drained one collects no falls."""
    good = seen["health"] in SERVING
    if not before:
        return {**seen, "up": good, "row": 0, "falls": []}
    falls = [fall for fall in before["falls"] if now - FLAPPING_S < fall <= now]
    row = 0 if good == before["up"] else before["row"] + 1
    needed = IN_A_ROW if before["up"] else min(IN_A_ROW * 2 ** max(0, len(falls) - 1), MOST)
    if row < needed:
        return {**seen, "up": before["up"], "row": row, "falls": falls}
    return {**seen, "up": good, "row": 0, "falls": falls if good or drained else [*falls, now]}


def state():
    return read_json(f"{RUN}/state.json", {})


def known(config):
    """The part of the state that is about the nodes as they are configured now."""
    addresses = {node["name"]: node["address"] for node in config["nodes"]}
    return {name: member for name, member in state().items() if addresses.get(name) == member["asked"]}


def strangers(config):
    """Nodes that nobody has looked at yet."""
    members = known(config)
    return [node for node in config["nodes"] if node["name"] not in members]


def learn(config, seen, drained):
    """Takes looks into the state, and forgets who left the configuration. Returns the state."""
    members, now = known(config), time.time()
    for node in config["nodes"]:
        name = node["name"]
        if name in seen and seen[name]["asked"] == node["address"]:
            members[name] = judged(members.get(name), seen[name], name in drained, now)
    write(f"{RUN}/state.json", json.dumps(members))
    addresses = {name: member["address"] for name, member in members.items() if member["address"]}
    if addresses != read_json(f"{KEPT}/addresses.json", None):
        write(f"{KEPT}/addresses.json", json.dumps(addresses))
    return members


# --- What NGINX gets ---


def rendered(config, members, drained):
    """The text of upstreams.conf: one upstream a profile, also where nobody serves it, so that the site never changes."""
    blocks = ["# Written by deepgram-upstreams, again and again: changes made here are lost.\n"]
    for profile in PROFILES:
        nodes = [node for node in config["nodes"] if node["profile"] in (profile, "all")]
        nodes = [node for node in nodes if profile != "all" or node["profile"] == "all"]
        lines = servers(nodes, config, members, drained) or ["server 127.0.0.1:9 down;  # nobody serves this"]
        # Without a zone each of NGINX's workers would count for itself, and max_conns hold for each of them.
        head = [f"zone deepgram_{profile} 256k;", "least_conn;"]
        body = "".join(f"    {line}\n" for line in [*head, *lines, "keepalive 32;"])
        blocks.append(f"upstream deepgram_{profile} {{\n{body}}}\n")
    return "\n".join(blocks)


def servers(nodes, config, members, drained):
    """The server lines of one upstream. Where nobody answers, the check is believed no more: all but drained ones serve."""
    region, limit = config.get("region") or "", int(config.get("max_connections") or 0)
    awake = [node for node in nodes if node["name"] not in drained]
    up = [node for node in awake if members.get(node["name"], {}).get("up", True)] or awake
    home = [node for node in nodes if node.get("region") == region] if region else nodes
    lines = []
    for node in nodes:
        address = members.get(node["name"], {}).get("address")
        words = ["server", address or "127.0.0.1:9", f"max_conns={limit}" if limit else "", "max_fails=0"]
        words.append("backup" if home and node not in home else "")
        words.append("down" if node not in up or not address else "")
        lines.append(" ".join(filter(None, words)) + f";  # {node['name']}")
    return lines


def master():
    """The process id of NGINX's master; None when it does not run."""
    pid = (read(NGINX_PID) or "").strip()
    return int(pid) if pid and "nginx: master" in title(pid) else None


def title(pid):
    try:
        return (read(f"{PROC}/{pid}/cmdline") or "").replace("\0", " ")
    except OSError:  # it ended while it was read
        return ""


def accepting(pid):
    """The workers that take new connections: those that are not shutting down."""
    children = (read(f"{PROC}/{pid}/task/{pid}/children") or "").split()
    titles = {child: title(child) for child in children}
    return {child for child, words in titles.items() if "worker process" in words and "shutting down" not in words}


def reload(pid):
    """Has NGINX take its files; returns when only new workers accept. Old ones finish what they have."""
    old = accepting(pid)
    os.kill(pid, signal.SIGHUP)
    end = time.monotonic() + RELOAD_S
    while time.monotonic() < end:
        now = accepting(pid)
        if now and not now & old:
            return
        time.sleep(0.02)
    raise Refused("NGINX does not take its new configuration; see /var/log/nginx/error.log and `journalctl -u nginx`")


def clients(port):
    """How many connections callers have with this port now."""
    rows = [row.split() for name in ("tcp", "tcp6") for row in (read(f"{PROC}/net/{name}") or "").splitlines()[1:]]
    return sum(row[3] == "01" and int(row[1].rpartition(":")[2], 16) == port for row in rows)


@contextlib.contextmanager
def closing(config, most_s):
    """A reload closes the connections that NGINX keeps for a next request, at worst while one is on its way. So here, and
    for some seconds before, every answer ends its connection (the site looks for the file): who is busy has none left
    then, and who is not has no request on its way. Without callers there is nothing to wait for."""
    end = time.monotonic() + min(most_s, float(config.get("closing_s", CLOSING_S)))
    write(f"{RUN}/closing", "")
    try:
        while time.monotonic() < end and clients(int(config.get("port") or 443)):
            time.sleep(0.1)
        yield
    finally:
        keep_again()


def keep_again():
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{RUN}/closing")


def renew(pid, most_s=math.inf):
    """Has NGINX take its files without breaking a request."""
    with closing(configuration(), most_s):
        reload(pid)


def refusal():
    """What nginx says against its configuration; an empty string for nothing."""
    done = subprocess.run(["nginx", "-t", "-q"], capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else re.sub(r"\s+", " ", done.stderr.strip())[:400]


def serve(text, most_s):
    """Puts the list in place and NGINX to work with it; True when that was needed. A refused one leaves no trace."""
    path, sum_ = f"{KEPT}/upstreams.conf", hashlib.sha256(text.encode()).hexdigest()
    before, pid = read(path), master()
    if before == text and (pid is None or read(f"{RUN}/live") == sum_):
        return False
    if before != text:
        write(path, text)
    if pid is not None:
        said = refusal()
        if said:
            if before is not None:
                write(path, before)
            raise Refused(f"nginx refuses its configuration: {said}")
        renew(pid, most_s)
        write(f"{RUN}/live", sum_)
    return before != text


def settle(config, seen, most_s=math.inf):
    """Takes looks in and brings NGINX up to date; for use under the lock. `most_s`: see closing()."""
    drained = marks()
    changed = serve(rendered(config, learn(config, seen, drained), drained), most_s)
    write(f"{RUN}/members.json", json.dumps({"members": report()}))
    return changed


# --- Commands ---


def report():
    """Name -> member, of every configured server and of every mark."""
    nodes = {node["name"]: node for node in (read_json(CONFIG, None) or {"nodes": []})["nodes"]}
    drained, members = marks(), state()
    found = {}
    for name in [*nodes, *(name for name in drained if name not in nodes)]:
        member, mark = members.get(name, {}), drained.get(name, {})
        found[name] = {
            "state": "drained" if name in drained else "up" if member.get("up", True) else "down",
            **{key: mark.get(key) for key in ("reason", "note", "since")},
            **{key: member.get(key) for key in ("health", "active")},
            "address": nodes.get(name, {}).get("address"),
            "known": name in nodes,
        }
    return found


def drain(names, reason, note):
    """Marks servers as drained. An operator's mark is not replaced by another's."""
    seen, changed = look_at(strangers(configuration())), False
    with alone():
        before = marks()
        for name in names:
            mark = before.get(name)
            same = mark and (mark.get("reason"), mark.get("note")) == (reason, note)
            if same or (mark and mark.get("reason") == "operator" != reason):
                continue
            since = (mark or {}).get("since") or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            write(mark_path(name), json.dumps({"reason": reason, "note": note, "since": since}))
            changed = True
        settle(configuration(), seen)
    return changed


def undrain(names):
    """Takes marks away. Who answers well now serves at once, whatever was before."""
    config, changed = configuration(), False
    new = [node["name"] for node in strangers(config)]
    seen = look_at([node for node in config["nodes"] if node["name"] in [*names, *new]])
    with alone():
        members = state()
        for name in names:
            if os.path.exists(mark_path(name)):
                os.unlink(mark_path(name))
                members.pop(name, None)
                changed = True
        write(f"{RUN}/state.json", json.dumps(members))
        settle(configuration(), seen)
    return changed


def render():
    """Brings the list up to date; servers that nobody has looked at yet are looked at."""
    seen = look_at(strangers(configuration()))
    with alone():
        return settle(configuration(), seen)


def reload_once():
    """NGINX takes the files that somebody has changed."""
    with alone():
        pid, said = master(), refusal()
        if pid is None or said:
            raise Refused(f"nginx refuses its configuration: {said}" if said else "NGINX does not run")
        renew(pid)
    return True


def refresh():
    """What the servers say now, for a report; the watch alone decides what follows from it."""
    nodes = (read_json(CONFIG, None) or {"nodes": []})["nodes"]
    seen, found = look_at(nodes), report()
    for name, look_ in seen.items():
        found[name].update(health=look_["health"], active=look_["active"])
    return found


def watch():
    """For ever: ask, decide, tell NGINX. A failure is said once, and tried again."""
    said = ""
    while True:
        begin = time.monotonic()
        interval = 2.0
        try:
            config = configuration()
            interval = float(config.get("interval_s") or interval)
            seen = look_at(config["nodes"])
            with alone():
                before = {name: (member.get("up"), member.get("health")) for name, member in state().items()}
                try:
                    settle(configuration(), seen, FALL_CLOSING_S)
                finally:
                    tell(before, state())
            said = ""
        except Exception as error:
            if str(error) != said:
                said = str(error)
                print(said, file=sys.stderr, flush=True)
        time.sleep(max(0.1, interval - (time.monotonic() - begin)))


def tell(before, after):
    """A line in the journal for each server that came or went."""
    for name, member in after.items():
        was = before.get(name)
        if was is None or was[0] != member["up"]:
            print(f"{name}: {'up' if member['up'] else 'down'} ({member['health']})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("watch", "report", "render", "reload"):
        commands.add_parser(command)
    for command in ("drain", "undrain"):
        commands.add_parser(command).add_argument("names", nargs="+", metavar="NAME")
    commands.choices["drain"].add_argument("--reason", default="operator", choices=["operator", "rollout", "failed"])
    commands.choices["drain"].add_argument("--note", default="")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is under way is put right first
    if given.command == "watch":
        watch()
    work = {
        "report": lambda: False,
        "render": render,
        "reload": reload_once,
        "drain": lambda: drain(given.names, given.reason, given.note),
        "undrain": lambda: undrain(given.names),
    }
    try:
        changed = work[given.command]()
        members = refresh() if given.command == "report" else report()
    except (Refused, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"deepgram-upstreams: {error}")
    print(json.dumps({"changed": changed, "members": members}))


if __name__ == "__main__":
    main()
