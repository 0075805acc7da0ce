"""What has been sent, answered and lost so far."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dgctl.bench.window import percentile

KEPT_FAILURES = 1000


@dataclass
class Tally:
    """`latencies`: seconds of each answered file; `failures`: each with its time, kind, stage and cause."""

    started: float = field(default_factory=time.monotonic)
    files_sent: int = 0
    files_failed: int = 0
    latencies: list[float] = field(default_factory=list)
    streams_started: int = 0
    streams_finished: int = 0
    streams_broken: int = 0
    streams_refused: int = 0
    live: int = 0
    most_live: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)

    def opened(self) -> None:
        self.live += 1
        self.most_live = max(self.most_live, self.live)

    def failed(self, kind: str, stage: str, cause: str, started: float) -> None:
        """`kind`: file or stream; `stage`: connect, listen, request or words; `started`: when it began (monotonic)."""
        if kind == "file":
            self.files_failed += 1
        else:
            self.streams_broken += 1
            self.streams_refused += stage == "connect"
        now = time.monotonic()
        if len(self.failures) < KEPT_FAILURES:
            when = {"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z", "at_s": round(now - self.started, 3)}
            what = {"kind": kind, "stage": stage, "cause": cause[:500], "after_s": round(now - started, 3)}
            self.failures.append(when | what)

    def line(self) -> str:
        """One second's line for a person."""
        last = percentile(self.latencies[-100:], 0.5)
        return (
            f"{time.monotonic() - self.started:6.0f}s  files {len(self.latencies)} ok, {self.files_failed} failed"
            f"{f', {last * 1000:.0f} ms' if last is not None else ''}"
            f"  |  streams {self.live} live, {self.streams_finished} finished, {self.streams_broken} broken"
        )

    def document(self) -> dict[str, Any]:
        """The result. `refused`: those of the broken that never opened; `client`: what this program itself cost."""
        seconds, ordered = time.monotonic() - self.started, sorted(self.latencies)
        times = {f"p{n}_ms": percentile(ordered, n / 100) for n in (50, 95, 99)}
        times["max_ms"] = ordered[-1] if ordered else None
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = usage.ru_utime + usage.ru_stime
        return {
            "seconds": round(seconds, 1),
            "files": {
                "sent": self.files_sent,
                "ok": len(ordered),
                "failed": self.files_failed,
                **{name: None if value is None else round(value * 1000, 1) for name, value in times.items()},
            },
            "streams": {
                "started": self.streams_started,
                "finished": self.streams_finished,
                "broken": self.streams_broken,
                "refused": self.streams_refused,
                "most_live": self.most_live,
            },
            "failures": self.failures,
            "client": {"cpu_s": round(cpu_s, 2), "cores": round(cpu_s / seconds, 3)},
        }
