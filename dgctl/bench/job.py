"""What one process is to do in one window, and how it reaches the API."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from dgctl.bench.recording import RATE
from dgctl.verify.tls import Proxy

STREAMS, FILES, TTS = KINDS = ("streams", "files", "tts")
UNITS = {STREAMS: "streams", FILES: "files a minute", TTS: "requests a minute"}
LISTEN, FLUX = "/v1/listen", "/v2/listen"


@dataclass(frozen=True)
class Job:
    """`load`: streams at a time, else a minute. Times in seconds; `begin` is of the monotonic clock, which processes share.

    Streams open within `ramp_s`; after `warmup_s` more the window of `window_s` begins.
    """

    kind: str
    way: Proxy
    path: str
    query: dict[str, str]
    load: int = 1
    begin: float = 0.0
    ramp_s: float = 5.0
    warmup_s: float = 10.0
    window_s: float = 30.0
    file_s: float = 300.0
    seed: int = 0

    @property
    def starts(self) -> float:
        return self.begin + self.ramp_s + self.warmup_s

    @property
    def ends(self) -> float:
        return self.starts + self.window_s

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, reported: dict[str, Any]) -> Job:
        return cls(**{**reported, "way": Proxy(**reported["way"])})

    def shared(self, processes: int) -> list[Job]:
        """The same work for several processes: none of them with nothing to do."""
        count = max(1, min(processes, self.load))
        sizes = [self.load // count + (number < self.load % count) for number in range(count)]
        return [replace(self, load=size, seed=self.seed + number) for number, size in enumerate(sizes)]


def stream_query(model: str, language: str, flux: bool) -> tuple[str, dict[str, str]]:
    """(path, query) of a stream; Flux has its language in the model's name, and one channel."""
    sound = {"encoding": "linear16", "sample_rate": str(RATE)}
    if flux:
        return FLUX, {"model": model, **sound}
    return LISTEN, {"model": model, "language": language, "interim_results": "true", **sound}


def file_query(model: str, language: str) -> tuple[str, dict[str, str]]:
    return LISTEN, {"model": model, "language": language, "punctuate": "true"}
