"""What a value of an inventory refers to: with these variables equal, Ansible's templates make the same of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.filters import FILTERS
from jinja2.tests import TESTS

from dgctl import content

_HEADER = "#jinja2:"  # a template with a syntax of its own
_MARKS = ("{{", "{%", "{#")
# What says another thing each time or elsewhere, or reads variables by names that only the rendering knows.
_UNSTEADY_NAMES = {"lookup", "query", "q", "now", "lipsum", "vars"}
_UNSTEADY_FILTERS = {"random", "shuffle", "password_hash", "vault", "strftime"}
# Filters that are given a filter's or a test's name -> which of their arguments it is.
_APPLYING = {"map": 0, "select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}
_EMBEDDED = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


@dataclass(frozen=True)
class Reading:
    """`names`: the variables that a value names itself. `template`: it has to be rendered at all.

    `steady`: rendering it twice gives the same as long as these variables, and those that they name, are the same.
    """

    names: frozenset[str] = frozenset()
    template: bool = True
    steady: bool = True


_LITERAL = Reading(template=False)
_OPAQUE = Reading()  # an encrypted text, a date, an object of Ansible's: Ansible converts it, and nothing else counts
_UNSTEADY = Reading(steady=False)
_BROKEN = Reading()  # Jinja cannot read it, for no host


class References:
    """Reads values; each list or mapping once."""

    def __init__(self) -> None:
        self._containers: dict[
            int, tuple[Any, Reading]
        ] = {}  # with the container: as long as it lives, its id is its own

    def of(self, value: Any) -> Reading:
        if isinstance(value, str):
            return _text(value)
        if value is None or isinstance(value, (bool, int, float)):
            return _LITERAL
        if not isinstance(value, (dict, list, tuple)):
            return _OPAQUE
        if id(value) not in self._containers:
            items = [*value, *value.values()] if isinstance(value, dict) else value
            self._containers[id(value)] = (value, _together([self.of(item) for item in items]))
        return self._containers[id(value)][1]


def _text(text: str) -> Reading:
    if not text.startswith(_HEADER) and not any(mark in text for mark in _MARKS):
        return _LITERAL
    return _UNSTEADY if text.startswith(_HEADER) else _read(str(text))


@functools.cache  # most are the roles' defaults, which each deployment has
def _read(text: str) -> Reading:
    environment = _environment()
    try:
        tree = environment.parse(text)
        names = meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as error:
        # A filter that there is not: Jinja minds only where it is used.
        return _BROKEN if type(error) is TemplateSyntaxError else _UNSTEADY
    except TemplateError:
        return _UNSTEADY
    # `meta` leaves out the environment's own, which a variable of that name takes the place of.
    names |= {node.name for node in tree.find_all(nodes.Name)} & environment.globals.keys()
    kinds = (nodes.Filter, nodes.Test, nodes.Const, *_EMBEDDED)
    steady = not names & _UNSTEADY_NAMES and all(map(_steady, tree.find_all(kinds)))
    return Reading(frozenset(names), steady=steady)


@functools.cache  # Ansible calls it deprecated, and looks through the whole stack each time for who asks
def _environment() -> Environment:
    """Ansible's, with the names that it gives to every template."""
    from ansible.template import Templar

    from dgctl.deployment.inventory import quiet

    with quiet():
        return Templar().environment


def _together(parts: list[Reading]) -> Reading:
    if all(part is _LITERAL for part in parts):
        return _LITERAL
    names = frozenset().union(*(part.names for part in parts))
    return Reading(names, steady=all(part.steady for part in parts))


def _steady(node: nodes.Node) -> bool:
    if isinstance(node, _EMBEDDED):
        return False
    if isinstance(node, nodes.Const):  # Ansible renders a text in a lookup's or a condition's expression too
        return not isinstance(node.value, str) or not any(mark in node.value for mark in _MARKS)
    if isinstance(node, nodes.Test):
        return _base(node.name) in _tests()
    assert isinstance(node, nodes.Filter)
    if _base(node.name) not in _filters():
        return False
    at = _APPLYING.get(_base(node.name))
    if at is None or len(node.args) <= at:  # none: `map(attribute=...)`, `select()`
        return True
    applied = node.args[at]
    known = _filters() if _base(node.name) == "map" else _tests()
    return isinstance(applied, nodes.Const) and _base(str(applied.value)) in known


def _base(name: str) -> str:
    return name.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


@functools.cache
def _filters() -> set[str]:
    """Filters of Jinja's, Ansible's and dgctl's own that make the same of the same."""
    from ansible.plugins.filter import core, encryption, mathstuff, urls, urlsplit

    found = {path.stem for path in (content.root() / "plugins/filter").glob("*.py")} | FILTERS.keys()
    for module in (core, encryption, mathstuff, urls, urlsplit):
        found |= module.FilterModule().filters().keys()
    return found - _UNSTEADY_FILTERS


@functools.cache
def _tests() -> set[str]:
    from ansible.plugins.test import core, files, mathstuff, uri

    found = set(TESTS)
    for module in (core, files, mathstuff, uri):
        found |= module.TestModule().tests().keys()
    return found
