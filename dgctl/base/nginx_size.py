"""A size as NGINX writes it (nginx.org/en/docs/syntax.html)."""

from __future__ import annotations

import re
from typing import Any

_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse(text: Any) -> int | None:
    """Its bytes; None for what is no size."""
    found = re.fullmatch(r"(\d+)([kmg]?)", str(text).strip().lower(), re.ASCII)
    return int(found[1]) * _SIZES[found[2]] if found else None
