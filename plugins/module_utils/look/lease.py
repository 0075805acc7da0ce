"""The lease: which run may change servers now. A file here says whose it is, since when, and until when it holds.

It lies on the disk, so that it lasts while the run that holds it restarts the server; one of a run that was killed is renewed by
nobody, and ends after TTL_S at most, restart or not. Sent to the host as source: only the standard library may be imported.
"""

import fcntl
import json
import os
import time
from contextlib import contextmanager

FOLDER = "/var/lib/deepgram"
TTL_S = 180  # four renewals


def main(text):
    """Carries out a request in JSON; prints one line that is found again in whatever a login shell says."""
    request = json.loads(text)
    answer = {"take": take, "renew": renew, "release": release}[request["mode"]](request)
    print("applied-state: " + json.dumps({"lease": answer}))


def take(request):
    """Takes it for `run` of the clone `owner`; `taken` says whether.

    Refused (`holder` says whose it is) where a run of another clone has it, unless `force`; and (`moved`) where since the look,
    which saw the run `last`, another one had it. What the clone itself left is taken over: its runs exclude each other at home.
    """
    with _locked():
        found = _read()
        free = not _holds(found) or found.get("owner") == request["owner"] or request["force"]
        moved = request["last"] is not None and found.get("run", "") not in (request["last"], request["run"])
        if moved or not free:
            return {"taken": False, "moved": moved, "holder": found.get("holder")}
        _write({key: request[key] for key in ("run", "owner", "holder")}, TTL_S)
        return {"taken": True}


def renew(request):
    """Holds it for longer; `lost` where it is another's by now. One that was wiped with all else is needed no more."""
    with _locked():
        found = _read()
        if found.get("run") == request["run"]:
            _write(found, TTL_S)
        return {"lost": found.get("run", request["run"]) != request["run"], "holder": found.get("holder")}


def release(request):
    """Gives it back. The run's name stays: looks that were taken before it ended are told by it."""
    if not os.path.exists(_path()):
        return {}
    with _locked():
        found = _read()
        if found.get("run") == request["run"]:
            _write(found, 0)
    return {}


def _holds(found):
    """Not where the clock was set back meanwhile: nobody waits longer than a lease lasts."""
    until = found.get("until")
    return isinstance(until, (int, float)) and 0 < until - time.time() <= TTL_S


def _read():
    """The file's content; empty where there is none, or none that this program wrote."""
    try:
        with open(_path(), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(content, seconds):
    """Replaces the file at once, for so many seconds from now."""
    new = _path() + ".new"
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        os.fchmod(handle, 0o600)
        json.dump({**content, "until": time.time() + seconds if seconds else 0}, stream)
        stream.flush()
        os.fsync(handle)
    os.replace(new, _path())


@contextmanager
def _locked():
    """One program at a time, by a lock on the folder; the system drops it with the program."""
    os.makedirs(FOLDER, mode=0o755, exist_ok=True)
    handle = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _path():
    return os.path.join(FOLDER, "lease.json")
