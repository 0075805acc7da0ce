"""What a deployment promises its callers (deepgram_sla_*): the bounds by which benches are judged, now and later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgctl.bench.job import STREAMS, TTS
from dgctl.bench.window import Bounds, sla, speech


def bounds(variables: Mapping[str, Any], kind: str = STREAMS) -> Bounds:
    """Of a server with these variables."""
    if kind == TTS:
        return speech(variables.get("deepgram_sla_speech_ms"))
    return sla(variables.get("deepgram_sla_stream_ms"), variables.get("deepgram_sla_file_factor"))
