"""Checks a deployment without touching a server: everything that is wrong, together, each with its place."""

from __future__ import annotations

from dataclasses import replace

from dgctl import content
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.words import listed
from dgctl.content import specs
from dgctl.deployment.deployment import Deployment
from dgctl.validation import (
    addresses,
    agreements,
    certificates,
    drivers,
    duplicates,
    files,
    flux,
    forms,
    groups,
    keys,
    licences,
    links,
    ports,
    products,
    releases,
    required,
    secrets,
    settings,
    spelling,
    systems,
    variables,
)
from dgctl.validation.context import Context

# In the order in which a person wants to repair them: no use in wrong values of a host in a wrong group.
TOPICS = (
    groups,
    files,
    duplicates,
    addresses,
    spelling,
    variables,
    required,
    forms,
    links,
    ports,
    agreements,
    settings,
    flux,
    products,
    licences,
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
    return list(dict.fromkeys(problem for topic in TOPICS for problem in topic.problems(context)))


def hints(deployment: Deployment) -> list[Problem]:
    """What `deployment` works without and should not; what servers share is said once, `where` names them."""
    found: dict[Problem, list[str]] = {}
    for host, hint in flux.hints(Context(deployment, {})):
        found.setdefault(hint, []).append(host)
    return [replace(hint, where=listed(hosts)) for hint, hosts in found.items()]


def require_valid(deployment: Deployment) -> None:
    """Raises DgctlError (exit 3) with every problem of `deployment`."""
    found = problems(deployment)
    if found:
        raise DgctlError(found, Exit.INVALID)
