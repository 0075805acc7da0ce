"""What of a foreign text (a value, a server's answer) may be shown: no secret by its looks, nothing that a terminal obeys."""

from __future__ import annotations

import re

WIDTH = 200  # of a value shown, in characters
_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,20}://)[^\s/?#@'\"]+@", re.IGNORECASE)
# Of a URL of any scheme; and where the scheme is missing or wrong, what reads like one: "?name=".
_QUERY = re.compile(r"(?P<url>\b[a-z][a-z0-9+.-]{0,20}://[^\s?#'\"]+)\?[^\s#'\"]+", re.IGNORECASE)
_NAMED_QUERY = re.compile(r"(?<=[^\s?])\?(?=[^\s?#'\"=]*=)[^\s#'\"]+")
# Control characters of C0 (without tab and newline), DEL and C1; those that turn the direction of writing.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def masked(text: str) -> str:
    """Without private keys in PEM, and without the user and password of a URL."""
    return _USER.sub(r"\g<scheme>***@", _KEY.sub(r"(\1, not shown)", text))


def value(text: str) -> str:
    """A value as an error shows it: one line, not long, and without the query of a URL, which may be what opens it."""
    lines = _NAMED_QUERY.sub("?***", _QUERY.sub(r"\g<url>?***", masked(text))).strip().splitlines()
    first = lines[0] if lines else ""
    cut = len(first) > WIDTH
    return first[:WIDTH] + (" ..." if cut or len(lines) > 1 else "")


def printable(text: str) -> str:
    r"""For a terminal: characters that it would obey are written out, an escape as \x1b."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    r"""The same of JSON, which stays JSON of the same value: \u009b for what its strings may hold as it is."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
