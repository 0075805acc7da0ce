"""A clock that jumps to the next moment at which something is due, so that a bench of ten minutes takes what its work takes.

Everything of a trial lives in one process and one loop: what was sent is there before the clock jumps, and how busy this machine
is changes no figure.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import time


class Clock:
    """Seconds since the trial began."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class _Selector(selectors.DefaultSelector):
    def __init__(self, clock: Clock):
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is there now; where there is nothing, the time is over at once."""
        if timeout is None:
            return super().select(None)
        found = super().select(0)
        if found or timeout <= 0:
            return found
        os.sched_yield()  # the kernel may still carry what was sent
        if found := super().select(0):
            return found
        self._clock.now += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock):
        super().__init__(_Selector(clock))
        self._own = clock

    def time(self) -> float:
        return self._own.now


def start() -> tuple[Clock, asyncio.AbstractEventLoop]:
    """Makes it the clock of this process for good, which is why each trial has a process of its own."""
    clock = Clock()
    loop = _Loop(clock)
    asyncio.set_event_loop(loop)
    time.monotonic = clock.monotonic
    return clock, loop
