"""Which checks of verify follow from which, so that one fault is one cause and the rest is folded under it.

The doctor's own checks (`health.NAME`) stand on what they stand on there; how findings are folded is the doctor's too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from dgctl import content
from dgctl.output.report import Check

FILES = "health.files"
_PATH = re.compile(r"(?:^|\s)(/[^\s:,]+)")
_DRIVER = ("driver.loaded", "driver.loaded_is_installed", "driver.tools_match")
# Check or subject -> checks or subjects that explain it when they fail. The nearest key counts: a check before its subject.
STANDS_ON: dict[str, tuple[str, ...]] = {
    "reachable": (),
    "driver.nouveau_absent": (),
    "driver.loaded": (
        *("driver.nouveau_absent", "health.secure boot", "health.module flavour", "health.package versions"),
        *("health.package state", "health.driver leftovers", "health.driver sources", "health.gpu count"),
    ),
    "driver.loaded_is_installed": ("driver.loaded", "health.package versions"),
    "driver.tools_match": ("driver.loaded", "driver.loaded_is_installed"),
    "driver.held": ("health.holds",),
    "driver.persistent": ("gpu.all_in_use",),
    "driver": ("driver.loaded", "driver.loaded_is_installed"),
    "gpu.all_in_use": (*_DRIVER, "health.gpu answers", "health.gpu count", "health.xid", "health.gpu recovery"),
    "gpu": ("gpu.all_in_use",),
    "fabric": (*_DRIVER, "gpu.all_in_use"),
    "toolkit": ("health.package versions", "health.package state"),
    "cdi.refreshed": ("toolkit",),
    "cdi": ("cdi.refreshed", "toolkit", *_DRIVER, "gpu.all_in_use"),
    "containers.running": (
        *("health.docker runtime", "health.daemon.json", "health.cdi version", "health.libcuda in containers"),
        *("health.disk", "health.files:/etc/deepgram", "health.units", "cdi", "fabric", "gpu.all_in_use", "models.files"),
    ),
    "containers.sees_the_gpus": ("containers.running.engine", "cdi", "gpu.all_in_use", *_DRIVER),
    "containers": ("containers.running",),
    "config.secrets_private": (),
    "config.key_not_in_arguments": (),
    "config": ("containers.running", "health.files:/etc/deepgram"),
    "billing.journal": ("health.disk",),
    "billing": ("containers.running.billing", "health.disk", "health.clock"),
    "license_proxy": ("containers.running.license-proxy", "health.resolver", "health.clock", "health.mtu"),
    "engine.on_the_gpu": ("containers.running.engine", "containers.sees_the_gpus"),
    "engine": (
        *("containers.running.engine", "health.files:/etc/deepgram", "health.engine answers"),
        *("config.same_file", "config.read_at_start", "config.own_configuration"),
    ),
    "models.files": ("health.disk",),
    "models.none_refused": ("containers.running.engine", "models.files"),
    "models.loaded": (
        *("models.none_refused", "models.files", "containers.running", "containers.sees_the_gpus"),
        "health.engine answers",
    ),
    "api.engine_connected": (
        *("containers.running", "containers.sees_the_gpus", "engine", "license_proxy", "config.own_configuration"),
        *("health.engine answers", "health.licence"),
    ),
    "api": ("containers.running.api", "api.engine_connected"),
    "ports": (),
    "tls.running": ("health.certificate key", "health.files:/etc/nginx/", "health.disk"),
    "tls": (
        *("tls.running", "health.files:/etc/nginx/", "health.certificate key", "health.certificate served"),
        *("health.nginx reloaded", "health.firewalls"),
    ),
    "upstreams.watched": (),
    "upstreams": ("upstreams.watched", "api", "containers.running"),
    "transcription": (
        *("tls.running", "tls.trusted", "tls.name", "upstreams", "health.callers", "api", "engine"),
        *("containers.sees_the_gpus", "models.loaded", "containers.running", "health.engine answers", "health.licence"),
    ),
}  # fmt: skip


def fold(checks: list[Check]) -> list[Check]:
    """The same checks, those that another one on their host explains with its name in `follows`."""
    found = list(checks)
    for host in dict.fromkeys(check.host for check in checks):
        places = [place for place, check in enumerate(found) if check.host == host]
        names = [found[place].check for place in places]
        findings: list[dict[str, Any]] = [_finding(found[place]) for place in places]
        content.utility("doctor.causes").fold(findings, graph(names))
        for place, finding in zip(places, findings, strict=True):
            found[place] = replace(found[place], follows=finding.get("follows", ""))
    return found


def graph(names: list[str]) -> dict[str, tuple[str, ...]]:
    """Check -> the checks of `names` that it stands on."""
    declared = {name: below(name) for name in names}
    return {name: tuple(_among(names, name, grounds)) for name, grounds in declared.items()}


def _among(names: list[str], name: str, grounds: tuple[str, ...]) -> Iterator[str]:
    """Those of `names` that are meant, each with the directory that it is to be about."""
    for ground in grounds:
        asked, colon, place = ground.partition(":")
        yield from (f"{other}{colon}{place}" for other in names if other != name and _is(other, asked))


def _finding(check: Check) -> dict[str, Any]:
    """A check as the doctor folds it; what its files are about stands in what was seen."""
    paths = _PATH.findall(check.seen) if check.check == FILES else []
    return {"check": check.check, "verdict": check.verdict, "paths": paths}


def below(name: str) -> tuple[str, ...]:
    """What is declared of a check: names of checks and subjects."""
    own = _of_doctor()
    return own[name] if name in own else STANDS_ON.get(key(name), ())


def key(name: str) -> str:
    """The nearest key of STANDS_ON for a check; "" for none."""
    parts = name.split(".")
    ways = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((way for way in ways if way in STANDS_ON), "")


def _is(name: str, asked: str) -> bool:
    return name == asked or name.startswith(f"{asked}.")


@cache
def _of_doctor() -> dict[str, tuple[str, ...]]:
    """`health.NAME` -> what the doctor's check stands on, by the names that verify has for it."""
    checks = content.utility("doctor.doctor").CHECKS
    names = {check.name: check.verify or (f"health.{check.name}",) for check in checks}

    def ours(ground: str) -> list[str]:
        name, colon, place = ground.partition(":")
        return [f"{one}{colon}{place}" for one in names.get(name, ())]

    return {
        f"health.{check.name}": tuple(one for ground in check.stands_on for one in ours(ground)) for check in checks
    }
