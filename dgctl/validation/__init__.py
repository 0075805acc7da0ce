"""Checks a deployment without touching a server: everything that is wrong, together, each with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dgctl import content
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.words import listed
from dgctl.content import specs
from dgctl.deployment.deployment import Deployment
from dgctl.validation import (
    addresses,
    agreements,
    callers,
    drivers,
    duplicates,
    files,
    fips,
    flux,
    forms,
    groups,
    keys,
    licences,
    links,
    ports,
    products,
    reach,
    regions,
    releases,
    required,
    secrets,
    settings,
    spelling,
    systems,
    variables,
)
from dgctl.validation.context import Context
from dgctl.validation.tls import acme, api_tls, certificates

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
    regions,
    fips,
    licences,
    secrets,
    keys,
    releases,
    drivers,
    systems,
    certificates,
    acme,
    api_tls,
    callers,
    reach,
)


def problems(deployment: Deployment) -> list[Problem]:
    """Everything wrong with `deployment`; what a hundred hosts share is said once."""
    context = Context(deployment, specs.options(content.root()))
    return list(dict.fromkeys(problem for topic in TOPICS for problem in topic.problems(context)))


def unserved(deployment: Deployment) -> list[Problem]:
    """The APIs that have no Engine to ask, or of a voice agent none of a kind."""
    context = Context(deployment, {})
    return list(dict.fromkeys(problem for topic in (regions, products) for problem in topic.problems(context)))


def hints(deployment: Deployment) -> list[Problem]:
    """What `deployment` works without and should not; what servers share is said once, `where` names them."""
    context = Context(deployment, {})
    return _shared(pair for topic in (flux, callers) for pair in topic.hints(context))


def notes(deployment: Deployment) -> list[Problem]:
    """What a reader should know, and what is no fault: `validate` alone says it."""
    return _shared(reach.hints(Context(deployment, {})))


def exposed(deployment: Deployment) -> list[Problem]:
    """The proxies of a public address that ask no caller who he is, also where a variable says so."""
    return _shared(callers.exposed(Context(deployment, {})))


def _shared(found: Iterable[tuple[str, Problem]]) -> list[Problem]:
    hosts: dict[Problem, list[str]] = {}
    for host, hint in found:
        hosts.setdefault(hint, []).append(host)
    return [replace(hint, where=listed(names)) for hint, names in hosts.items()]


def require_valid(deployment: Deployment) -> None:
    """Raises DgctlError (exit 3) with every problem of `deployment`."""
    found = problems(deployment)
    if found:
        raise DgctlError(found, Exit.INVALID)
