"""Marks of drained servers: a file a server, which outlives a boot."""

import json
import os
import time
import urllib.parse

import files


def path(name):
    quoted = urllib.parse.quote(name, safe="")
    if quoted in ("", ".", ".."):
        raise files.Refused(f"{name!r} is no server's name")
    return f"{files.KEPT}/drained/{quoted}"


def read():
    """Name -> {reason, note, since} of every drained server, also of those that the configuration does not know."""
    folder = f"{files.KEPT}/drained"
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith(".new-"))
    except FileNotFoundError:
        return {}
    return {urllib.parse.unquote(name): files.read_json(f"{folder}/{name}", {}) for name in names}


def put(name, reason, note):
    """Marks a server; True when that changed anything. An operator's mark is not replaced by another's."""
    mark = files.read_json(path(name), {})
    same = mark and (mark.get("reason"), mark.get("note")) == (reason, note)
    if same or (mark and mark.get("reason") == "operator" != reason):
        return False
    since = mark.get("since") or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    files.write(path(name), json.dumps({"reason": reason, "note": note, "since": since}))
    return True


def remove(name):
    """Takes a mark away; True when there was one."""
    there = os.path.exists(path(name))
    if there:
        os.unlink(path(name))
    return there
