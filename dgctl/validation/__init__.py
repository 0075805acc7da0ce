"""Checks a deployment without touching a server: everything that is wrong, together, each with its place."""

from __future__ import annotations

from dgctl import content, specs
from dgctl.deployment import Deployment
from dgctl.errors import DgctlError, Exit, Problem
from dgctl.validation import (
    addresses,
    certificates,
    drivers,
    duplicates,
    groups,
    keys,
    releases,
    secrets,
    systems,
    types,
    values,
    variables,
)
from dgctl.validation.context import Context

# In the order in which a person wants to repair them: no use in wrong values of a host in a wrong group.
TOPICS = (
    groups,
    duplicates,
    addresses,
    variables,
    types,
    values,
    secrets,
    keys,
    releases,
    drivers,
    systems,
    certificates,
)


def problems(deployment: Deployment) -> list[Problem]:
    """Everything wrong with `deployment`; what a hundred hosts share is said once."""
    context = Context(deployment, specs.options(content.root()))
    found = [problem for topic in TOPICS for problem in topic.problems(context)]
    return list(dict.fromkeys(found))


def require_valid(deployment: Deployment) -> None:
    """Raises DgctlError (exit 3) with every problem of `deployment`."""
    found = problems(deployment)
    if found:
        raise DgctlError(found, Exit.INVALID)
