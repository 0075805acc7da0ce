"""The API's own account: active requests, and the five states of /v1/status by the share of recent successes."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager

WINDOW, ENOUGH = 100, 5  # requests; the real numbers are not published
HEALTHY, DEGRADED = 0.9, 0.4


class Health:
    """Counts requests while they run; `limit` is `[concurrency_limit] active_requests`, 0 = none."""

    def __init__(self, limit: int = 0):
        self._limit, self._recent = limit, deque(maxlen=WINDOW)
        self.active = {"batch": 0, "stream": 0, "listen_v2_stream": 0}

    @property
    def full(self) -> bool:
        return bool(self._limit) and sum(self.active.values()) >= self._limit

    @contextmanager
    def running(self, kind: str):
        self.active[kind] += 1
        try:
            yield
        finally:
            self.active[kind] -= 1

    def ended(self, status: int) -> None:
        """Counts a result; what was the client's mistake (4xx) says nothing of this server's health."""
        if not 400 <= status < 500:
            self._recent.append(status < 400)

    def state(self, engine_seen: bool) -> str:
        if not engine_seen:
            return "Initializing"
        if len(self._recent) < ENOUGH:
            return "Ready"
        share = sum(self._recent) / len(self._recent)
        return "Healthy" if share > HEALTHY else "Degraded" if share >= DEGRADED else "Critical"

    def body(self, engine_seen: bool) -> dict:
        counts = {f"active_{kind}_requests": count for kind, count in self.active.items()}
        return {"system_health": self.state(engine_seen), **counts}
