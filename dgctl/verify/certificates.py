"""Reads the dates of /v1/certificates, which no standard parser takes: `2027-05-15 3:25:28.0 +00:00:00`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from dgctl.verify.ask import Answer
from dgctl.verify.expect import Expect

TLS_DAYS = 14  # of a TLS certificate: with fewer left it is to be renewed now
RELEASE_DAYS = 90
_DATE = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[ T]+(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.\d+)?"
    r"\s*(?:(Z|UTC)|([+-])(\d{1,2}):?(\d{2})?(?::\d{2})?)?$"
)


def moment(reported: str) -> datetime:
    """The time that Deepgram's spelling means, in UTC (no offset: UTC). Raises ValueError for others."""
    match = _DATE.match(reported.strip())
    if not match:
        raise ValueError(f"not a date: {reported!r}")
    *parts, _, sign, hours, minutes = match.groups()
    east = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    return datetime(*(int(part) for part in parts), tzinfo=UTC) - east


def days_left(reported: str, now: datetime | None = None) -> int:
    """Whole days until that moment; negative when it is past."""
    return (moment(reported) - (now or datetime.now(UTC))).days


def expect_life(reported: Answer, expect: Expect) -> None:
    """The check of what a program says in /v1/certificates: an expired one refuses to start, and is to be replaced before."""
    end = (reported.json() or {}).get("end_of_life") if reported.ok else None
    days = days_left(end) if end else None
    expect(
        f"{days} days left ({end})" if end else str(reported),
        f"at least {RELEASE_DAYS} days",
        "set a newer deepgram_release and provision",
        ok=days is not None and days >= RELEASE_DAYS,
    )
