"""What is done to a fleet while calls are on it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import labs
from bench.measure import BenchError
from bench.world import PROJECT

if TYPE_CHECKING:
    from bench.parts.fleet import Fleet

AFTER = "release-260812"
UNKNOWN_VERB = 2
RESET_S, CUT_S = 15, 45  # by then a caller knows that its stream is gone: by a reset, or by pings without an answer
BACK_S = 120  # within that a node that boots, or has fallen before, gets streams


def _nothing(fleet: Fleet) -> None:
    pass


@dataclass(frozen=True)
class Operation:
    """`run` does it and returns how many streams may break with it. `verb`: what dgctl must know for it."""

    name: str
    verb: str
    run: Callable[[Fleet], int]
    prepare: Callable[[Fleet], None] = _nothing


def knows(verb: str) -> bool:
    """Whether this dgctl has the verb."""
    asked = subprocess.run([PROJECT / "bin/dgctl", verb, "--help"], capture_output=True)
    return asked.returncode != UNKNOWN_VERB


def _provision(fleet: Fleet) -> int:
    fleet.deployment.provision()
    return 0


def _one_more(fleet: Fleet) -> None:
    """A blank server, and its line; no operation so far has touched it."""
    fleet.grow(len(fleet.servers("node")) + 1)


def _setting(fleet: Fleet) -> None:
    fleet.change(deepgram_log_format="json")


def _proxy_setting(fleet: Fleet) -> None:
    fleet.change(nginx_proxy_hsts_max_age_s=1_000_000)


def _last(fleet: Fleet) -> str:
    return fleet.servers("node")[-1]["name"]


def _remove(fleet: Fleet) -> int:
    fleet.deployment.dgctl("remove", _last(fleet), "--yes")
    return 0


def _drain(fleet: Fleet) -> int:
    fleet.deployment.dgctl("drain", _first(fleet))
    fleet.deployment.dgctl("undrain", _first(fleet))
    return 0


def _first(fleet: Fleet) -> str:
    return fleet.servers("node")[0]["name"]


def _upgrade(fleet: Fleet) -> int:
    fleet.deployment.dgctl("upgrade", "--release", AFTER, "--yes")
    return 0


def _rollback(fleet: Fleet) -> int:
    fleet.deployment.dgctl("rollback", "--yes")
    return 0


def active_streams(server: str) -> int:
    """How many streams a node serves now, by its own API."""
    reported = labs.sh(server, "curl --silent --fail --max-time 5 http://127.0.0.1:8080/v1/status")
    return int(json.loads(reported)["active_stream_requests"])


def _die(fleet: Fleet, dead_s: float, *options: str) -> int:
    """A node dies; its streams are lost, nobody else's, and later it is back by itself."""
    victim = _first(fleet)
    on_it = _serving(victim)
    labs.kill(victim, *options)
    time.sleep(dead_s)
    labs.start(victim)
    _serving(victim)
    return on_it


def _serving(server: str) -> int:
    """Waits until a node has streams; how many."""
    until = time.monotonic() + BACK_S
    while time.monotonic() < until:
        with contextlib.suppress(BenchError):
            if streams := active_streams(server):
                return streams
        time.sleep(1)
    raise BenchError(f"{server} has got no stream for {BACK_S} s")


def _kill(fleet: Fleet) -> int:
    return _die(fleet, RESET_S)


def _cut(fleet: Fleet) -> int:
    return _die(fleet, CUT_S, "--cut")


# In this order: each begins with what the one before has left.
OPERATIONS = (
    Operation("add a node", "provision", _provision, _one_more),
    Operation("change a setting on all nodes", "provision", _provision, _setting),
    Operation("upgrade", "upgrade", _upgrade),
    Operation("rollback", "rollback", _rollback),
    Operation("proxy reload", "provision", _provision, _proxy_setting),
    Operation("drain and undrain", "drain", _drain),
    Operation("remove a node", "remove", _remove),
    Operation("node killed", "", _kill),
    Operation("node without power", "", _cut),
)
