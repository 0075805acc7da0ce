"""The faults by name: the row of faults.toml, and the two functions that make and heal it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.faults.target import Target

TABLE = tomllib.loads(Path(__file__).parent.with_name("faults.toml").read_text())
Action = Callable[[Target], str]


def _nothing(target: Target) -> str:
    raise NotImplementedError(target.fault)


@dataclass
class Fault:
    """`inject` and `heal` return what they did, for the person at the terminal."""

    name: str
    about: str
    check: str
    repair: str
    gpu: str
    setup: str
    engine: str
    inject: Action = _nothing
    heal: Action = _nothing


FAULTS = {name: Fault(name, **row) for name, row in TABLE.items()}


def inject(name: str) -> Callable[[Action], Action]:
    """Registers the function that makes a fault; it begins by asking for what the fault's row needs."""

    def register(function: Action) -> Action:
        def checked(target: Target) -> str:
            target.require(FAULTS[name].gpu, FAULTS[name].setup, FAULTS[name].engine)
            return function(target)

        FAULTS[name].inject = checked
        return function

    return register


def heal(name: str) -> Callable[[Action], Action]:
    """Registers the function that takes a fault away."""

    def register(function: Action) -> Action:
        FAULTS[name].heal = function
        return function

    return register
