"""A document as JSON text, piece by piece: that of a thousand servers is longer than what it is made from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dgctl.base.display import printable_json

_PIECE = 64 * 1024  # characters; a call of write() for each token would take most of the time


def pieces(document: Any) -> Iterator[str]:
    """The text, never cut within a value; what has `as_dict()` is made a mapping when its turn comes."""
    some, length = [], 0
    for token in json.JSONEncoder(indent=2, ensure_ascii=False, default=_mapping).iterencode(document):
        some.append(token)
        length += len(token)
        if length >= _PIECE:
            yield printable_json("".join(some))
            some, length = [], 0
    yield printable_json("".join(some)) + "\n"


def _mapping(thing: Any) -> dict[str, Any]:
    return thing.as_dict()
