"""Proves Engines through an API that asks them: known words come back, and each Engine's own metrics say that it answered."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from testinfra.host import Host
from websockets.exceptions import WebSocketException

from dgctl.output.report import NO_API_YET
from dgctl.verify import metrics, speech, streams, tls, voices
from dgctl.verify.ask import Answer, ask
from dgctl.verify.connection import Other, Unreachable
from dgctl.verify.containers import Runtime
from dgctl.verify.expect import Unmet
from dgctl.verify.facts import api_url, metrics_url

API_TOML = "/etc/deepgram/api/api.toml"
METRIC = "engine_requests_total"
_GOOD = ("1xx", "2xx")  # a stream that is a WebSocket is answered with 101
# An API balances over its Engines, but in which order is not published: so many rounds of a request an Engine.
ROUNDS, AT_ONCE, PAUSE_S = 4, 32, 2
# No request begins later; one takes no longer. Both together are less than suite.STALL_S.
LIMIT_S, _REQUEST_LIMIT_S = 180, 60
_SETTLE_S = 0.5  # an Engine may count a request a little after the API has answered it


@dataclass(frozen=True)
class Request:
    """The test request that an Engine's models answer, as its metrics call it: of kind batch, stream or tts.

    `language`: of speech that is to be heard; of a text that is to be spoken, the path.
    """

    kind: str
    model: str
    language: str = ""

    @classmethod
    def of(cls, desired: dict[str, Any]) -> Request | None:
        """None where no model of the Engine transcribes."""
        if desired.get("voices"):
            return cls("tts", desired["voices"][0]["model"], desired["voices"][0]["path"])
        if desired["flux"]:
            return cls("stream", desired["flux"])
        mode = next((mode for mode in ("batch", "streaming") if mode in desired["speech"]), None)
        language = desired["deepgram_verify_language"] or "en"
        return cls({"streaming": "stream"}.get(mode, mode), desired["speech"][mode], language) if mode else None

    def send(self, entrance: tls.Proxy, recording: speech.Recording) -> speech.Heard:
        try:
            if self.kind == "tts":
                spoken = voices.speak(entrance, self.language, self.model)
                text = " ".join(recording.words) if spoken.is_enough else ""
                return speech.Heard(text, spoken.seconds, problem="" if spoken.is_enough else str(spoken))
            if not self.language:
                return streams.transcribe_turns(entrance, recording, self.model)
            if self.kind == "stream":
                return streams.transcribe_stream(entrance, recording, self.model, self.language)
            return speech.transcribe_file(entrance, recording, self.model, self.language, _REQUEST_LIMIT_S)
        except (httpx.HTTPError, OSError, WebSocketException) as problem:
            return speech.Heard(problem=speech.refusal(problem))


@dataclass
class Engine:
    """An Engine under proof. `before`, `now`: requests that it has answered well; None: its metrics cannot be read."""

    name: str
    address: str
    host: Host
    desired: dict[str, Any]
    before: float | None = None
    now: float | None = None
    is_proven: bool = False
    poor: str = ""
    _base: float = 0

    @property
    def logs(self) -> str:
        return Runtime(self.desired["deepgram_container_engine"] or "docker", self.desired.get("names") or {}).logs(
            "engine"
        )

    def read(self, kind: str) -> None:
        try:
            page = ask(self.host, {"metrics": f"fetch {metrics_url(self.desired)}"})["metrics"]
        except Unreachable:
            page = Answer(255, "")
        # The sample appears with the first request; every Engine has this other one.
        readable = metrics.value(page.text, "engine_max_active_requests") is not None
        self.now = (metrics.value(page.text, METRIC, kind=[kind], response_status=_GOOD) or 0) if readable else None

    def start(self, kind: str) -> None:
        self.read(kind)
        self.before, self._base = self.now, self.now or 0

    def judge(self, heard: list[speech.Heard], recording: speech.Recording) -> None:
        """What these requests say of it, when it has answered since the last ones."""
        poor = [one for one in heard if _is_poor(one, recording)]
        has_risen = self.now is not None and self.now > self._base
        if has_risen and poor and len(heard) == 1:
            self.poor = f'{poor[0].share(recording):.0%} of the words: "{poor[0].text[:60]}"'
        good = not poor and any(not one.problem for one in heard)
        self.is_proven = self.is_proven or (has_risen and good)
        # What rose beside answers that were not good was not proof; an Engine that restarted counts from 0.
        self._base = min(self._base, self.now or 0) if good else (self.now or 0)

    def __str__(self) -> str:
        before, now = ("not readable" if count is None else f"{count:g}" for count in (self.before, self.now))
        return f"{self.name} ({METRIC} {before} before, {now} after{'; ' + self.poor if self.poor else ''})"


def _is_poor(heard: speech.Heard, recording: speech.Recording) -> bool:
    return not heard.problem and heard.share(recording) < speech.ENOUGH_WORDS


@dataclass
class Trial:
    """Requests through one API until each of `engines` has answered well.

    `size`: how many Engines the API asks. `kind`: how their metrics call the requests. `last`: the last refusal.
    """

    engines: list[Engine]
    size: int
    kind: str
    recording: speech.Recording
    send: Callable[[], speech.Heard]
    sent: int = 0
    last: str = ""
    has_poor: bool = False

    @property
    def waiting(self) -> list[Engine]:
        return [engine for engine in self.engines if not engine.is_proven]

    def run(self, until: float) -> None:
        """Makes ROUNDS at most, none after `until` (monotonic seconds)."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda engine: engine.start(self.kind), self.engines))
            self.engines = [engine for engine in self.engines if engine.before is not None]
            for number in range(ROUNDS):
                for count in self._portions(first=number == 0):
                    if not self.waiting or time.monotonic() > until:
                        return
                    self._ask(pool, count)
                time.sleep(PAUSE_S * (number + 1) if self.waiting and number + 1 < ROUNDS else 0)

    def _portions(self, first: bool) -> Iterator[int]:
        """How many requests at once, for `size` in all: few at first, then as many as an API needs to use every Engine.

        One by one where an answer was poor: only so it is known whose it was.
        """
        left = self.size
        while left:
            count = min(left, 1 if self.has_poor else 1 + self.size // 8 if first else AT_ONCE)
            left -= count
            yield count

    def _ask(self, pool: ThreadPoolExecutor, count: int) -> None:
        heard = list(pool.map(lambda _: self.send(), range(count)))
        self.sent += count
        self.last = next((one.problem for one in heard if one.problem), self.last)
        self.has_poor |= any(_is_poor(one, self.recording) for one in heard)
        waiting = self.waiting
        self._read(pool, waiting)
        if not any((engine.now or 0) > engine._base for engine in waiting):
            time.sleep(_SETTLE_S)
            self._read(pool, waiting)
        for engine in waiting:
            engine.judge(heard, self.recording)

    def _read(self, pool: ThreadPoolExecutor, engines: Iterable[Engine]) -> None:
        list(pool.map(lambda engine: engine.read(self.kind), engines))


def knowing(apis: dict[str, str], others: Callable[[str], Other]) -> tuple[Other, str, int]:
    """The first API that runs and asks the Engine: (its host, the Engine's address there, how many Engines it asks).

    Raises NotYet where none does, and Unmet where none could be asked about it. `apis`: host -> the Engine's address.
    """
    if not apis:
        raise NotYet("deepgram_engine_addresses of no API names it (of its profile and region)")
    why, mute = [], []
    for name, address in apis.items():
        other = others(name)
        answers = _answers(other)
        if not answers["here"].ok:
            mute.append(f"{name}: {answers['here']}")
            continue
        named = _drivers(answers["toml"].text)
        if address in named and answers["status"].ok:
            return other, address, len(named)
        why.append(f"{name}: {'no API runs' if address in named else f'{API_TOML} does not name {address}'}")
    if not why:
        raise Unmet("; ".join(mute), "an API host that can be asked", f"dgctl verify --limit {next(iter(apis))}")
    raise NotYet("; ".join([*why, *mute]))


class NotYet(Exception):
    """No API asks the Engine yet; the text says why."""

    def __init__(self, why: str):
        super().__init__(f"{NO_API_YET}: {why}")


def _answers(other: Other) -> dict[str, Answer]:
    questions = {
        "here": "true",
        "toml": f"cat {API_TOML}",
        "status": f"fetch {api_url(other.planned['desired'])}/status",
    }
    try:
        return ask(other.host, questions)
    except Unreachable as problem:
        return dict.fromkeys(questions, Answer(255, "", str(problem)))


def _drivers(text: str) -> list[str]:
    """host:port of each Engine in an api.toml."""
    try:
        blocks = tomllib.loads(text).get("driver_pool", {}).get("standard", [])
        return [urlsplit(str(block.get("url"))).netloc for block in blocks]
    except (tomllib.TOMLDecodeError, AttributeError):
        return []
