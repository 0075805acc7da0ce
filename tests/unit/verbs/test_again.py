"""The command that a run prints for going on: what it was called with, whatever options there are."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from dgctl.cli import main
from dgctl.run.session import Session
from tests.unit.called import called

VERBS = [name for name, command in main.commands.items() if any(p.name == "inventory" for p in command.params)]
COUNTS = {"days": "29", "window": "31", "sustain": "121", "most": "99", "file_seconds": "61"}
SHOWS_ONLY = {"as_json", "verbosity", "yes", "break_lock"}  # the last two a person says each time


# What stands behind the inventory, by the name of click's argument.
POSITIONAL = {"hosts": ["gpu1", "gpu2"], "action": ["add"], "name": ["billing"]}


def positional(verb: str) -> list[str]:
    arguments = [param.name for param in main.commands[verb].params if isinstance(param, click.Argument)]
    return [word for name in arguments if name != "inventory" for word in POSITIONAL[name]]


def words(option: click.Option) -> list[str]:
    """How a person gives an option, with a value that is not its default."""
    name = option.opts[-1]
    if option.is_flag or option.count:
        return [name]
    value = {"batch": "25%", "max_fail": "2", "watch": "9", "note": "fan broken", "since": "9m", **COUNTS}.get(
        option.name, "x y"
    )
    return [f"{name}={value}"] if option.name == "watch" else [name, value]


def parsed(verb: str, given: list[str]) -> dict[str, Any]:
    command = main.commands[verb]
    return command.make_context(verb, list(given)).params


def session(verb: str, given: list[str]) -> Session:
    params = parsed(verb, given)
    return called(verb, Path(params.pop("inventory")), **params)


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_of_a_verb_is_forgotten(verb: str) -> None:
    command = main.commands[verb]
    hosts = positional(verb)
    options = [param for param in command.params if isinstance(param, click.Option)]
    given = ["inventory.ini", *hosts, *(word for option in options for word in words(option))]
    again = shlex.split(session(verb, given).again())
    assert again[:2] == ["dgctl", verb]
    desired = {name: value for name, value in parsed(verb, given).items() if name not in SHOWS_ONLY}
    assert {name: value for name, value in parsed(verb, again[2:]).items() if name not in SHOWS_ONLY} == desired
    assert not {"--yes", "--break-lock"} & {*again} and "--json" not in again


@pytest.mark.parametrize("verb", VERBS)
def test_what_was_not_given_is_not_said(verb: str) -> None:
    hosts = positional(verb)
    assert session(verb, ["inventory.ini", *hosts]).again() == shlex.join(["dgctl", verb, "inventory.ini", *hosts])


def test_another_verb_gets_what_it_knows() -> None:
    given = ["inventory.ini", "gpu2", "--dead", "--wipe", "--limit=gpu2", "--vault-id=a@b", "--yes"]
    assert session("remove", given).again("status") == "dgctl status inventory.ini --limit gpu2 --vault-id a@b"
    plan = session("plan", ["inventory.ini", "--full", "--out=p"])
    assert plan.again("provision", plan=plan.options.out) == "dgctl provision inventory.ini --full --plan p"
    other = session("provision", ["inventory.ini", "--limit=gpu1"]).again(limit="all:!gpu1")
    assert other == "dgctl provision inventory.ini --limit 'all:!gpu1'"
