"""Ctrl-C and SIGTERM: Ansible is asked to stop, then made to; no child outlives the run."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType, TracebackType

from dgctl.base import processes

GRACE_S = 10


class Interrupt:
    """The first SIGINT or SIGTERM asks Ansible to stop; a second, or GRACE_S seconds, kills it."""

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0
        self._again = False
        self._children: set[int] = set()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        hung_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]  # nohup
        for number in (signal.SIGINT, signal.SIGTERM, *hung_up):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self._again = True
            return
        self.asked, self._since = True, time.monotonic()
        # Ansible's workers live in sessions of their own, and are nobody's children once Ansible is gone.
        self._children = processes.descendants(os.getpid())
        processes.send(processes.children(os.getpid()), signal.SIGINT)

    def cancel(self) -> bool:
        """ansible-runner asks this every second: True kills Ansible's process group."""
        return self.asked and (self._again or time.monotonic() - self._since > GRACE_S)

    def end_children(self) -> None:
        """Ends what an interrupted Ansible left running."""
        if self.asked:
            processes.end(lambda: self._children & set(processes.parents()))
