"""A known recording and its words: transcribes it through the proxy as a file, and compares."""

from __future__ import annotations

import re
import statistics
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import InvalidStatus

from dgctl.verify import tls

# A share of the known words that any speech model finds in clear speech, and that silence or noise never has.
ENOUGH_WORDS = 0.6
_FILE_LIMIT_S = 120


@dataclass(frozen=True)
class Recording:
    """A WAV file (16-bit PCM) of speech and the words in it."""

    path: Path
    words: list[str]
    seconds: float

    @classmethod
    def shipped(cls, folder: Path = Path(__file__).parent / "audio") -> Recording:
        """The recording that comes with dgctl: the one *.wav in `folder` and the .txt of its words."""
        path = min(folder.glob("*.wav"))
        with wave.open(str(path)) as sound:
            seconds = sound.getnframes() / sound.getframerate()
        return cls(path, spoken(path.with_suffix(".txt").read_text()), seconds)


@dataclass
class Heard:
    """What the service understood: final text, seconds it took, and until a stream was opened, delays of interim
    results (s), what it said of itself.
    """

    text: str = ""
    seconds: float = 0.0
    opened_s: float = 0.0
    delays: list[float] = field(default_factory=list)
    problem: str = ""

    def share(self, recording: Recording) -> float:
        """The share of the recording's words that were understood, each as often as it is said."""
        found, rest = 0, spoken(self.text)
        for word in recording.words:
            if word in rest:
                rest.remove(word)
                found += 1
        return found / max(1, len(recording.words))

    def median_delay(self) -> float | None:
        return statistics.median(self.delays) if self.delays else None


def spoken(text: str) -> list[str]:
    """The words of a text without case and punctuation."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())


def get(proxy: tls.Proxy, path: str) -> int:
    """The HTTP status of a GET through the proxy. Raises httpx.HTTPError."""
    return _status(proxy, "GET", path)


def post(proxy: tls.Proxy, path: str) -> int:
    """The same of a POST without content."""
    return _status(proxy, "POST", path)


def _status(proxy: tls.Proxy, method: str, path: str) -> int:
    with _client(proxy, tls.TIMEOUT_S) as client:
        return client.request(method, path, **_as(proxy)).status_code


def transcribe_file(
    proxy: tls.Proxy, recording: Recording, model: str, language: str, limit_s: float = _FILE_LIMIT_S
) -> Heard:
    """POST /v1/listen, answered within `limit_s`. What is no transcript comes back as `problem`. Raises httpx.HTTPError."""
    asked = {"model": model, "language": language, "punctuate": "true"}
    started, headers = time.monotonic(), {"Content-Type": "audio/wav"}
    content = recording.path.read_bytes()
    answer = posted(proxy, "/v1/listen", limit_s, params=asked, content=content, headers=headers)
    took = time.monotonic() - started
    if answer.status_code != 200:
        return Heard(seconds=took, problem=f"HTTP {answer.status_code}: {complaint(answer)}")
    try:
        return Heard(first_transcript(answer.json()["results"]), took)
    except (ValueError, KeyError, TypeError):
        return Heard(seconds=took, problem=f"HTTP 200 without a transcript: {complaint(answer)}")


def posted(
    proxy: tls.Proxy, path: str, limit_s: float, headers: dict[str, str] | None = None, **what: Any
) -> httpx.Response:
    """A POST through the proxy, answered within `limit_s`; `what` as httpx has it. Raises httpx.HTTPError."""
    with _client(proxy, limit_s) as client:
        return client.post(path, **what, **_as(proxy, headers))


def _client(proxy: tls.Proxy, limit_s: float) -> httpx.Client:
    """Connects to the proxy's address itself, whatever proxy the environment names, and verifies its name."""
    verify = proxy.plain or tls.context(proxy)
    way = httpx.HTTPTransport(verify=verify, uds=proxy.tunnel or None, trust_env=False)
    timeout = httpx.Timeout(limit_s, connect=tls.TIMEOUT_S)
    return httpx.Client(base_url=proxy.base_url, transport=way, timeout=timeout, trust_env=False)


def _as(proxy: tls.Proxy, headers: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "headers": {"Host": proxy.authority} | proxy.credentials | (headers or {}),
        "extensions": {"sni_hostname": proxy.name},
    }


def complaint(answer: httpx.Response) -> str:
    """The service's own words (err_msg, or message and details), or what stands in the proxy's page."""
    try:
        reported = answer.json()
        return str(reported.get("err_msg") or reported.get("message") or reported)[:300]
    except (ValueError, AttributeError):
        return " ".join(re.sub("<[^>]*>", " ", answer.text).split())[:120]


def first_transcript(results: Any) -> str:
    """results.channels[0].alternatives[0].transcript, or nothing when the answer has another shape."""
    try:
        return str(results["channels"][0]["alternatives"][0]["transcript"])
    except (KeyError, IndexError, TypeError):
        return ""


def refusal(problem: Exception) -> str:
    """Why there was no conversation at all: an HTTP status in place of a stream, or no connection."""
    if not isinstance(problem, InvalidStatus):
        return tls.reason(problem)
    page = (problem.response.body or b"").decode(errors="replace")
    reported = problem.response.headers.get("dg-error") or " ".join(re.sub("<[^>]*>", " ", page).split())
    return f"HTTP {problem.response.status_code}: {reported[:200]}"
