"""Runs a program beside the rest, without the cost of `subprocess`, and never waits for one that hangs."""

import os
import select
import signal
import time


class Command:
    """A program, started at once. Its errors are thrown away, or with `errors` stand among what it prints.

    status: how it ended; None before `output`, and for one that never began or never ended.
    """

    def __init__(self, *argv, errors=False):
        self.name, self.pid, self.why, self.status = argv[0], None, "", None
        self.end, write = os.pipe()
        others = (os.POSIX_SPAWN_DUP2, write, 2) if errors else (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, write, 1),
            others,
        ]
        try:
            self.pid = os.posix_spawnp(self.name, argv, dict(os.environ, LC_ALL="C"), file_actions=actions)
        except OSError as error:
            self.why = f"{self.name}: {error.strerror}"
        os.close(write)

    def output(self, timeout):
        """(what it printed, "") or (what it printed, why that is not all)."""
        parts, deadline = [], time.monotonic() + timeout
        while self.pid:
            if not select.select([self.end], [], [], max(0, deadline - time.monotonic()))[0]:
                # Not waited for: the driver may hold it where no signal arrives.
                os.kill(self.pid, signal.SIGKILL)
                self.pid, self.why = None, f"{self.name}: no answer in {timeout:g} s"
                break
            part = os.read(self.end, 1 << 16)
            if not part:
                self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                self.pid, self.why = None, f"{self.name} ended with status {self.status}" if self.status else ""
                break
            parts.append(part)
        os.close(self.end)
        return b"".join(parts).decode("utf-8", "replace"), self.why
