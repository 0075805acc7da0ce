"""The table of `dgctl status`: one line a server, and below it what is not healthy."""

from __future__ import annotations

from collections import Counter
from typing import Any

HEADINGS = (
    "HOST",
    "STATE",
    "REQUESTS",
    "RELEASE",
    "API",
    "ENGINE",
    "GPU",
    "DRIVER",
    "MODELS",
    "LOAD",
    "TLS",
    "LICENCE",
)
SOMETIMES = ("REQUESTS", "LICENCE")  # left out where no server has them


def table(hosts: dict[str, tuple[str, dict[str, Any]]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(headings, a row a server) from name -> (state, what its status task returned)."""
    rows = [row(name, state, status) for name, (state, status) in hosts.items()]
    retained = [n for n, head in enumerate(HEADINGS) if head not in SOMETIMES or any(each[n] != "-" for each in rows)]
    return tuple(HEADINGS[n] for n in retained), [tuple(each[n] for n in retained) for each in rows]


def row(name: str, state: str, status: dict[str, Any]) -> tuple[str, ...]:
    """One server's line from what its status task returned; a dash for what could not be read."""
    containers = status.get("containers") or {}
    return (
        name,
        state,
        _requests(status.get("traffic") or {}, status.get("watch") or {}),
        text(status.get("release")),
        _each(_apis(status)),
        _each([_container(found) for found in _named(containers, "engine")]),
        _gpus(status.get("gpus") or []),
        text((status.get("driver") or {}).get("loaded")),
        text(len(status["models"]) if status.get("models") else None),
        _loads(status),
        _days(((status.get("certificates") or {}).get("proxy") or {}).get("days_left")),
        text((status.get("license_proxy") or {}).get("state")),
    )


def _requests(traffic: dict[str, Any], watch: dict[str, Any]) -> str:
    """`up`, `down`, `out by itself`, or `drained: fan broken`; what proxies see differently, each with its name."""
    if watch.get("out") and not traffic.get("reason"):
        return "out by itself"
    states = traffic.get("proxies") or {}
    reported = set(states.values())
    found = reported.pop() if len(reported) == 1 else ", ".join(f"{state} at {name}" for name, state in states.items())
    why = traffic.get("note") or traffic.get("reason") or ""
    return f"{found}: {why}" if why else text(found)


def text(value: Any) -> str:
    return "-" if value in (None, "") else str(value)


def _named(containers: dict[str, Any], kind: str) -> list[Any]:
    """The containers of Engines or of APIs, in their order."""
    return [found for name, found in containers.items() if name.split("-")[1:2] == [kind]]


def _each(words: list[str]) -> str:
    """What several say: once where they say the same, `Healthy, 2 x running` in the order of the first of each."""
    counted = Counter(words)
    return (
        ", ".join(f"{number} x {word}" if number > 1 and len(words) > 1 else word for word, number in counted.items())
        or "-"
    )


def _apis(status: dict[str, Any]) -> list[str]:
    containers = _named(status.get("containers") or {}, "api") or [None]
    answers = list((status.get("apis") or {"": status.get("api")}).values())
    return [_api(answer, container) for answer, container in zip(answers, containers * len(answers), strict=False)]


def _api(answer: Any, container: Any) -> str:
    reported = answer.get("system_health") if isinstance(answer, dict) else None
    return text(reported) if reported else _container(container)


def _container(container: Any) -> str:
    if not isinstance(container, dict):
        return "-"
    return text(container.get("health") or container.get("status"))


def _gpus(found: list[dict[str, Any]]) -> str:
    """`2 x Tesla T4, 40 %`: the GPUs by name, and the busiest one's load."""
    names = Counter(text(gpu.get("name")) for gpu in found)
    busy = [gpu["utilization_percent"] for gpu in found if gpu.get("utilization_percent") is not None]
    listed = " + ".join(f"{count} x {name}" if count > 1 else name for name, count in names.items())
    return f"{listed}, {max(busy)} %" if busy else text(listed)


def _loads(status: dict[str, Any]) -> str:
    """Of each Engine; a server with one of which no limit is known is measured by its last bench."""
    several = status.get("loads")
    holds = 0 if several else (status.get("holds") or {}).get("streams", 0)
    return _each([_load(load or {}, holds) for load in (several or {"": status.get("load")}).values()])


def _load(load: dict[str, Any], holds: int = 0) -> str:
    """`12/36, 33 %`: requests now, of the Engine's limit, or of what a bench found (`holds`)."""
    active = load.get("active_requests")
    if active is None:
        return "-"
    busy = (
        sum(value for value in active.values() if isinstance(value, (int, float)))
        if isinstance(active, dict)
        else active
    )
    limit = load.get("max_active_requests")
    most = limit or holds
    by = "" if limit else " by its bench"
    return f"{busy:g}/{most:g}{by}, {busy / most:.0%}".replace("%", " %") if most else f"{busy:g}"


def _days(days: Any) -> str:
    return "-" if days is None else f"{days:g} days"
