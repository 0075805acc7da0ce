"""Values against their variables' schemas: type, range, form, and those of every key of a nested mapping."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgctl.base.errors import Problem
from dgctl.content.schema.faults import Fault
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has
from dgctl.validation.required import REQUIRED

# `user:password@` before a host, where no scheme says that it is a URL.
_PASSWORD = re.compile(r"(?<=\w):[^:@\s/]+@")


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        for name, value in context.set_values(host):
            if name not in context.variables or (name in REQUIRED and value in (None, "", [], {})):
                continue
            if not has(value, "{{") and not has(value, PLACEHOLDER):
                yield from (_problem(context, host, name, fault) for fault in context.faults(name, value))


def _problem(context: Context, host: Host, name: str, fault: Fault) -> Problem:
    return Problem(
        fault.what,
        context.place(host, name, fault.path),
        context.shown(name, fault.path, _shown(fault)),
        fault.fix,
    )


def _shown(fault: Fault) -> str:
    """The wrong value; of a link only what comes before its query, which may be a signature that opens it."""
    if fault.shown is None:
        return ""
    text = _PASSWORD.sub(":***@", str(fault.shown))
    return bare(text) if re.match(r"https?://", text) else text


def bare(url: str) -> str:
    """A link without its query string."""
    return url.split("?", 1)[0]
