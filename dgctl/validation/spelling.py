"""Names of servers, groups and variables that hold characters which nobody sees, or that look like others."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgctl.base.errors import Problem
from dgctl.base.locate import line_of, search
from dgctl.base.names import alike
from dgctl.content.schema.faults import odd_character
from dgctl.validation.context import Context

# A server's name stands in file names (host_vars, records), in commands, and in NGINX's configuration.
_UNFIT = re.compile(r"""[\s/\\'"`$;&|<>(){}#*?!~%]|^-""", re.ASCII)
_PLAIN = "type the name again, with the letters a to z, digits, - and _"


def problems(context: Context) -> Iterator[Problem]:
    inventory = context.deployment.inventory
    for kind, names in (("server", context.deployment.hosts), ("group", context.deployment.groups)):
        for name in names:
            if odd := odd_character(name):
                yield Problem(f"the {kind}'s name holds {odd}", line_of(inventory, re.escape(name)), name, _PLAIN)
    for host in context.served:
        if unfit := _UNFIT.search(host.name):
            what = f"the server's name holds {unfit[0]!r}, which files, commands or NGINX would misread"
            yield Problem(what, line_of(inventory, re.escape(host.name)), host.name, _PLAIN)
    yield from _variables(context)


def _variables(context: Context) -> Iterator[Problem]:
    judged: set[str] = set()
    for host in context.deployment.hosts.values():
        for name in host.written:
            if name in judged or not (odd := odd_character(name)):
                continue
            judged.add(name)
            near = alike(name, [*context.options, *context.ansible], 0.8)
            fix = f"type the name again: {near}" if near else "type the name again, in letters, digits and _"
            where = context.deployment.where(host, name) or search(name, context.deployment.files()) or host.name
            yield Problem(f"the variable's name holds {odd}", where, name, fix)
