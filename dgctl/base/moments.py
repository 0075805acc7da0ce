"""How far back: `10m`, or a time in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"(\d{1,6})\s*([smhd])")


def back(text: str) -> dict[str, float]:
    """`{ago: seconds}` of 30s, 10m, 2h, 3d; `{at: seconds since 1970}` of a time in ISO 8601 (UTC). Raises ValueError."""
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return {"ago": float(int(ago[1]) * _UNITS[ago[2]])}
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 30s, 10m, 2h, 3d, or 2026-11-30T08:00 (UTC)") from None
    return {"at": (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()}


def shown(seconds: float) -> str:
    """`2026-11-30 08:11:28.123`, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
