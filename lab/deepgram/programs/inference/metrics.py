"""The Engine's metrics as OpenMetrics text, with the documented names; histograms appear with their first request."""

from __future__ import annotations

from collections import defaultdict

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
KINDS = ("batch", "stream", "tts")
_SECONDS = (1, 2.5, 5, 10, 30, 60)
_FACTORS = (0.01, 0.1, 1, 2.5, 5, 10, 25, 50, 75, 100, 150, 200, 300, 500, 1000, 10000)
_STREAM = (*(round(tenth / 10, 1) for tenth in range(1, 21)), 5, 10)
_DURATIONS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200)
HISTOGRAMS = {
    "engine_batch_response_time_seconds": _SECONDS,
    "engine_asr_per_batch_audio_duration_seconds": _DURATIONS,
    "engine_asr_per_batch_wall_time_seconds": _SECONDS,
    "engine_asr_per_batch_realtime_factor": _FACTORS,
    "engine_asr_per_file_audio_duration_seconds": _DURATIONS,
    "engine_asr_per_file_wall_time_seconds": _SECONDS,
    "engine_asr_per_file_realtime_factor": _FACTORS,
    "engine_stream_connection_latency_seconds": (0.25, 0.5, 1, 2.5, 5, 10),
    "engine_stream_latency": _STREAM,
}
_START_CAPACITY, _GPU_CAPACITY, _HEADROOM = 5, 60, 5  # streams; no figure is published


class Metrics:
    """Counts requests by kind, and what they took."""

    def __init__(self, max_active_requests: int):
        self.max_active_requests = max_active_requests  # 0 = no limit
        self.active = dict.fromkeys(KINDS, 0)
        self._capacity = _START_CAPACITY
        self._requests: dict[tuple[str, str], int] = defaultdict(int)
        self._observed: dict[str, list[int]] = {}
        self._sums: dict[str, float] = defaultdict(float)

    def start(self, kind: str) -> None:
        self.active[kind] += 1
        # Climbs as streams are opened, and stops at what the GPU can take.
        self._capacity = min(_GPU_CAPACITY, max(self._capacity, self.active["stream"] + _HEADROOM))

    def finish(self, kind: str, status: int) -> None:
        self.active[kind] -= 1
        self.refused(kind, status)

    def refused(self, kind: str, status: int) -> None:
        self._requests[(kind, f"{status // 100}xx")] += 1

    def observe(self, name: str, value: float) -> None:
        counts = self._observed.setdefault(name, [0] * (len(HISTOGRAMS[name]) + 1))
        counts[next((at for at, limit in enumerate(HISTOGRAMS[name]) if value <= limit), -1)] += 1
        self._sums[name] += value

    def observe_file(self, audio_s: float, wall_s: float) -> None:
        for scope in ("batch", "file"):
            self.observe(f"engine_asr_per_{scope}_audio_duration_seconds", audio_s)
            self.observe(f"engine_asr_per_{scope}_wall_time_seconds", wall_s)
            self.observe(f"engine_asr_per_{scope}_realtime_factor", audio_s / max(wall_s, 1e-6))
        self.observe("engine_batch_response_time_seconds", wall_s)

    def text(self) -> str:
        lines = ["# TYPE engine_active_requests gauge"]
        lines += [f'engine_active_requests{{kind="{kind}"}} {count}' for kind, count in self.active.items()]
        lines += [
            "# TYPE engine_max_active_requests gauge",
            f"engine_max_active_requests {self.max_active_requests}",
        ]
        lines += [
            "# TYPE engine_estimated_stream_capacity gauge",
            f"engine_estimated_stream_capacity {self._capacity}",
        ]
        if self._requests:
            lines.append("# TYPE engine_requests counter")
        lines += [
            f'engine_requests_total{{kind="{kind}",response_status="{status}"}} {count}'
            for (kind, status), count in sorted(self._requests.items())
        ]
        for name in HISTOGRAMS:
            lines += self._histogram(name)
        return "\n".join([*lines, "# EOF", ""])

    def _histogram(self, name: str) -> list[str]:
        if name not in self._observed:
            return []
        lines, below = [f"# TYPE {name} histogram"], 0
        for limit, count in zip((*map(float, HISTOGRAMS[name]), "+Inf"), self._observed[name], strict=True):
            below += count
            lines.append(f'{name}_bucket{{le="{limit}"}} {below}')
        return [*lines, f"{name}_sum {self._sums[name]:.6f}", f"{name}_count {below}"]
