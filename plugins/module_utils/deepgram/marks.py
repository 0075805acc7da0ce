"""Marks of drained servers, on a proxy whose program is not there yet."""

import json
import os
import time
from urllib.parse import quote, unquote

from ansible.module_utils.host.whole_file import write


class Marks:
    """The folder `drained` in a directory: a file a server, with {reason, note, since}."""

    def __init__(self, directory):
        self.folder = os.path.join(directory, "drained")

    def path(self, name):
        return os.path.join(self.folder, quote(name, safe=""))

    def read(self, name):
        """A server's mark; None for none, {} for one that cannot be read."""
        try:
            with open(self.path(name), encoding="utf-8") as stream:
                return json.load(stream)
        except FileNotFoundError:
            return None
        except ValueError:
            return {}

    def put(self, name, reason, note, check_mode=False):
        """Marks a server; True when that changed anything. An operator's mark is not replaced by another's."""
        mark = self.read(name)
        same = mark is not None and (mark.get("reason"), mark.get("note")) == (reason, note)
        if same or (mark and mark.get("reason") == "operator" != reason):
            return False
        since = (mark or {}).get("since") or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if not check_mode:
            write(self.path(name), json.dumps({"reason": reason, "note": note, "since": since}), 0o644)
        return True

    def remove(self, name, check_mode=False):
        """Takes a mark away; True when there was one."""
        there = os.path.lexists(self.path(name))
        if there and not check_mode:
            os.unlink(self.path(name))
        return there

    def members(self):
        """Name -> what is known of each marked server, in the form of the program's report."""
        try:
            names = sorted(unquote(name) for name in os.listdir(self.folder) if not name.startswith(".new-"))
        except FileNotFoundError:
            return {}
        found = {}
        for name in names:
            mark = self.read(name) or {}
            retained = {key: mark.get(key) for key in ("reason", "note", "since")}
            found[name] = {
                "state": "drained",
                **retained,
                "health": None,
                "active": None,
                "address": None,
                "known": False,
            }
        return found
