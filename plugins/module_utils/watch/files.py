"""Where the watchdog keeps what it knows: its configuration, its state for others to read, and the mark that silences it."""

import json
import os
import time

from ansible.module_utils.host import files as host_files
from ansible.module_utils.host.whole_file import write

CONFIG = "/etc/deepgram-watch.json"
RUN = "/run/deepgram-watch"  # of this boot, for all to read
KEPT = "/var/lib/deepgram-watch"
STATE, SILENT = "state.json", "silent.json"
STALE_S = 60


class Unusable(Exception):
    """What is wrong with the configuration, in a sentence."""


def configuration(path=CONFIG):
    found = host_files.read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("urls"), dict):
        raise Unusable(f"{path} is missing or is no configuration; provision this server again")
    return found


def read_state():
    """The state as it was left; None for none, a word for one that is torn. After a boot {tried}: only that counts."""
    path = os.path.join(RUN, STATE)
    if os.path.exists(path):
        found = host_files.read_json(path)
        return found.get("state", "torn") if isinstance(found, dict) else "torn"
    retained = host_files.read_json(os.path.join(KEPT, STATE))
    return (
        {"tried": retained["tries"]} if isinstance(retained, dict) and isinstance(retained.get("tries"), list) else None
    )


def write_state(document):
    """For all to read; it lives in memory, and is not waited for on a disk."""
    path = os.path.join(RUN, STATE)
    with open(path + ".new", "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o644)
        json.dump(document, stream)
    os.replace(path + ".new", path)


def keep(tries):
    """What outlives a boot: when it tried."""
    write(os.path.join(KEPT, STATE), json.dumps({"tries": tries}), 0o600)


def silent(now):
    """The mark of maintenance: {since, until, note}; None for none, or for one whose time is over."""
    found = host_files.read_json(os.path.join(KEPT, SILENT))
    if not os.path.exists(os.path.join(KEPT, SILENT)):
        return None
    if not isinstance(found, dict):
        return {"since": None, "until": None, "note": "a mark that cannot be read"}
    until = found.get("until")
    return found if not isinstance(until, (int, float)) or now < until else None


def silence(seconds, note):
    """Marks this node as under maintenance; for ever with 0 seconds."""
    now = int(time.time())
    mark = {"since": now, "until": now + seconds if seconds else None, "note": note}
    write(os.path.join(KEPT, SILENT), json.dumps(mark), 0o644)


def resume():
    """Takes the mark away; True when there was one."""
    path = os.path.join(KEPT, SILENT)
    there = os.path.lexists(path)
    if there:
        os.unlink(path)
    return there


def report(now):
    """What the watchdog wrote last; None where none runs."""
    found = host_files.read_json(os.path.join(RUN, STATE))
    if not isinstance(found, dict) or not isinstance(found.get("at"), (int, float)) or now - found["at"] > STALE_S:
        return None
    return found
