"""Names of servers, groups and variables that hold characters which nobody sees, or that look like others."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dgctl.errors import Problem
from dgctl.locate import line_of, search
from dgctl.names import alike
from dgctl.schema.faults import odd_character
from dgctl.validation.context import Context


def problems(context: Context) -> Iterator[Problem]:
    deployment = context.deployment
    for kind, names in (("server", deployment.hosts), ("group", deployment.groups)):
        for name in names:
            if odd := odd_character(name):
                fix = "type the name again, with the letters a to z, digits, - and _"
                yield Problem(
                    f"the {kind}'s name holds {odd}", line_of(deployment.inventory, re.escape(name)), name, fix
                )
    judged: set[str] = set()
    for host in deployment.hosts.values():
        for name in host.written:
            if name not in judged and (odd := odd_character(name)):
                judged.add(name)
                near = alike(name, [*context.options, *context.ansible], 0.8)
                fix = f"type the name again: {near}" if near else "type the name again, in letters, digits and _"
                where = deployment.where(host, name) or search(name, deployment.files()) or host.name
                yield Problem(f"the variable's name holds {odd}", where, name, fix)
