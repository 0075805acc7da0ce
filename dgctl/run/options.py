"""A verb's own options: what the command line gives it beside the inventory, typed, one class a verb."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """Those that the rooms below the verbs ask for; a verb that does not offer one has it as here.

    A verb with more has a class of its own, `Options` in its file, whose fields have the names of click's parameters and
    their defaults.
    """

    yes: bool = False
    check: bool = False
    full: bool = False
    batch: str = "1"
    max_fail: int = 0
    break_lock: bool = False


@dataclass(frozen=True, kw_only=True)
class OnHosts(Options):
    """Of a verb that names servers."""

    hosts: tuple[str, ...] = ()
