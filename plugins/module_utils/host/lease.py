"""Who works on a server: dgctl's roles, by the records that they began and did not finish, or the watchdog, by a lock."""

import contextlib
import fcntl
import os
import time

from ansible.module_utils.host import record as host_record

LOCK = "/run/deepgram-watch/acting"
RUN_S = 3600  # a run that is killed leaves its records begun: so long it counts as at work
WAIT_S = 120


@contextlib.contextmanager
def watchdog():
    """Held by the watchdog while it changes something; the kernel gives it back when the program ends."""
    handle = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def wait(seconds=WAIT_S):
    """Waits until the watchdog changes nothing; where there is none, not at all."""
    try:
        handle = os.open(LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(0.2)
    finally:
        os.close(handle)


class Runs:
    """The roles that a run of dgctl has begun here; read again only where a record was written."""

    def __init__(self, host):
        self.host, self.written, self.started = host, None, {}

    def at_work(self, now):
        """Who works on this server, in words; "" for nobody."""
        try:
            written = os.stat(host_record.FOLDER).st_mtime_ns
        except OSError:
            return ""
        if written != self.written:
            self.written, self.started = written, self._started()
        found = sorted(role for role, at in self.started.items() if now - RUN_S < at <= now + host_record.AHEAD_S)
        return f"dgctl is at work (role {', '.join(found)})" if found else ""

    def _started(self):
        records = {name: host_record.read(name, self.host)[0] for name in host_record.names()}
        return {name: record["at"] for name, record in records.items() if record and record.get("finished") is False}
