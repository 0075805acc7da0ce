"""How long an Engine takes for a piece of a stream, by how many streams it has: a capacity that is known, to prove benches by."""

from __future__ import annotations

import random

BOUND_S = 0.4  # in the mean, which is within it up to the capacity and beyond it from one stream more on
LEAST_S, BROKEN_S = 0.1, 3.0
PERIOD_S = 10  # for which the noise that all streams share stays as it is


class Curve:
    """`smooth N` becomes slower by and by and passes 400 ms after N streams; `cliff N` breaks at once there. A third word is the
    noise in per cent, and a fourth its seed. `slowdown`: times that everything takes longer, as where the GPU is throttled.
    """

    def __init__(self, reported: str):
        self._kind, *numbers = reported.split() or [""]
        if self._kind not in ("smooth", "cliff") or not 1 <= len(numbers) <= 3 or not all(map(str.isdigit, numbers)):
            raise ValueError(
                f"SIMULATED_STREAMS is {reported!r}: smooth N or cliff N, then per cent of noise, then its seed"
            )
        self.capacity, percent, self._seed = map(int, [*numbers, 0, 0][:3])
        self._noise, self._own = percent / 100, random.Random(self._seed)
        self.slowdown = 1.0

    def mean_s(self, streams: int) -> float:
        """Without noise."""
        if self._kind == "cliff":
            return LEAST_S if streams <= self.capacity else BROKEN_S
        return LEAST_S + (BOUND_S - LEAST_S) * (streams / (self.capacity + 0.5)) ** 4

    def latency_s(self, streams: int, now: float) -> float:
        """Of one piece: half of the noise is its own, half that of all streams in these seconds."""
        shared = random.Random(f"{self._seed} {now // PERIOD_S:.0f}").gauss(1, self._noise)
        return max(0.01, self.mean_s(streams) * self.slowdown * shared * self._own.gauss(1, self._noise))
