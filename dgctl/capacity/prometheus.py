"""What a Prometheus knows of the last weeks, by its HTTP API (prometheus.io/docs/prometheus/latest/querying/api).

Times are by its own clock. A figure that it does not have is none here: nothing is filled in.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from dgctl.verify.tls import Proxy

ANSWER_LIMIT_S = 30
LARGEST = 64 << 20  # bytes of an answer

Labels = Mapping[str, str]
Point = tuple[float, float]  # (seconds since 1970, value)


class Silent(Exception):
    """Prometheus does not answer, or answers with an error; the text says which."""


class Prometheus:
    """One to ask; raises Silent from each question."""

    def __init__(self, client: httpx.Client):
        self._client = client

    def now(self) -> float:
        """Its own time."""
        (_, found), *_rest = self.ask("vector(time())") or [({}, math.nan)]
        if not math.isfinite(found):
            raise Silent("it does not tell its time")
        return found

    def ask(self, query: str) -> list[tuple[Labels, float]]:
        """(labels, value) of each series now; those without a finite value are left out."""
        found = [(labels, _number(one["value"])) for labels, one in self._series("query", {"query": query})]
        return [(labels, value[1]) for labels, value in found if math.isfinite(value[1])]

    def ask_range(self, query: str, start: float, end: float, step_s: float) -> list[tuple[Labels, list[Point]]]:
        """(labels, its finite values) of each series."""
        asked = {"query": query, "start": f"{start:.0f}", "end": f"{end:.0f}", "step": f"{step_s:.0f}"}
        found = []
        for labels, one in self._series("query_range", asked):
            points = [point for point in map(_number, one["values"]) if math.isfinite(point[1])]
            found.append((labels, points))
        return found

    def _series(self, path: str, asked: dict[str, str]) -> list[tuple[Labels, dict[str, Any]]]:
        reported = self._answer(path, asked)
        try:
            if reported["status"] != "success":
                raise Silent(f"it refuses the question: {reported.get('error') or reported['status']}"[:300])
            return [(one["metric"], one) for one in reported["data"]["result"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise Silent("it answers, and not as a Prometheus does") from error

    def _answer(self, path: str, asked: dict[str, str]) -> Any:
        """Its document; of one that goes on without end, or drop by drop, no more than the limits."""
        ends, text = time.monotonic() + ANSWER_LIMIT_S, b""
        try:
            with self._client.stream("POST", f"/api/v1/{path}", data=asked) as answer:
                for part in answer.iter_bytes():
                    text += part
                    if len(text) > LARGEST or time.monotonic() > ends:
                        raise Silent(f"its answer does not end within {ANSWER_LIMIT_S} s and {LARGEST >> 20} MB")
        except httpx.TimeoutException as error:
            raise Silent(f"no answer within {ANSWER_LIMIT_S} s") from error
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
            raise Silent("its answer is torn" if text else "it hung up without an answer") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Silent(str(error) or type(error).__name__) from error
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Silent(f"HTTP {answer.status_code}, and no JSON") from error


@contextmanager
def at(way: Proxy) -> Iterator[Prometheus]:
    """The one at the end of a way through SSH."""
    transport = httpx.HTTPTransport(uds=way.tunnel or None, trust_env=False)
    with httpx.Client(base_url=way.base_url, transport=transport, timeout=ANSWER_LIMIT_S, trust_env=False) as client:
        yield Prometheus(client)


@contextmanager
def at_url(url: str) -> Iterator[Prometheus]:
    """The one behind a URL; a password for it is read from ~/.netrc, where there is one."""
    with httpx.Client(base_url=url.rstrip("/"), auth=_account(url), timeout=ANSWER_LIMIT_S) as client:
        yield Prometheus(client)


def mistake(url: str) -> str:
    """What is wrong with the URL of a Prometheus; "" for nothing."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "give http://HOST:PORT or https://HOST"
    if parts.username or parts.password:
        return "other users of this machine see the password in it: write it into ~/.netrc (mode 0600)"
    return "give the address alone, without ? and #" if parts.query or parts.fragment else ""


def _account(url: str) -> httpx.Auth | None:
    try:
        return httpx.NetRCAuth() if urlsplit(url).hostname else None
    except OSError:
        return None  # there is no such file


def _number(pair: Any) -> Point:
    """[seconds, "text"] as numbers; NaN for what is none."""
    try:
        at_s, value = pair
        return float(at_s), float(value)
    except (TypeError, ValueError):
        return math.nan, math.nan
