"""Why a template fails, in the words of what failed in it: Ansible's outer error names neither filter, plugin, file nor name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from dgctl.deployment.inventory_refusal import chain, words

_NAME = re.compile(r"[A-Za-z_]\w*")
_HINT = re.compile(r" *Use -v+ to see [^.:]*\.?")  # dgctl has no such option
_MARKED = re.compile(r"\{[{%](.*?)[%}]\}", re.DOTALL)


def reason(error: BaseException, name: str, variables: dict[str, Any]) -> str:
    """The outer error and its causes down to the innermost; a chain that is only long is told from one that ends in itself."""
    causes = chain(error)
    if any(isinstance(each, RecursionError) for each in causes) or "Recursive loop" in words(error):
        return loop(name, variables) or (
            "it refers to variables that refer to others, through more of them than Ansible can follow"
        )
    reported = ""
    for text in (_HINT.sub("", text).rstrip(".") for text in map(words, causes)):
        if text not in reported and "captured exception marker" not in text:
            reported += f": {text}" if reported else text
    return reported


def loop(name: str, variables: dict[str, Any], referred: Callable[[Any], Iterable[str]] | None = None) -> str:
    """What to say of a variable whose template comes back to one that it passed; "" of others.

    `referred`: the names that a value refers to; without it every word of its templates, which is enough where Ansible failed.
    """
    ring = _ring(name, variables, referred or _referred)
    return "the variables refer to each other in a recursive loop: " + " -> ".join(ring) if ring else ""


def _ring(name: str, variables: dict[str, Any], referred: Callable[[Any], Iterable[str]]) -> list[str]:
    """The names through which a variable's template comes back to a name that it passed; empty for none."""
    path, open_names = [], [(name, 0)]
    done: set[str] = set()
    while open_names:
        here, depth = open_names.pop()
        del path[depth:]
        if here in path:
            return [*path[path.index(here) :], here]
        if here in done:
            continue
        path.append(here)
        done.add(here)
        others = sorted(set(referred(variables.get(here))) & set(variables), reverse=True)  # always the same way
        open_names += [(other, depth + 1) for other in others]
    return []


def _referred(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {name for each in value.values() for name in _referred(each)}
    if isinstance(value, (list, tuple)):
        return {name for each in value for name in _referred(each)}
    return (
        {name for part in _MARKED.findall(value) for name in _NAME.findall(part)} if isinstance(value, str) else set()
    )
