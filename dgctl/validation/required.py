"""Values that nobody filled in: required ones, and placeholders."""

from __future__ import annotations

from collections.abc import Iterator

from dgctl.base.errors import Problem
from dgctl.deployment.deployment import RUNNERS, Host
from dgctl.validation.context import PLACEHOLDER, Context, has
from dgctl.validation.licences import has_air_gap

# What no deployment works without, and how it is given.
_RUNNERS = set(RUNNERS)
_LICENSED = _RUNNERS - {"billing"}
NEEDED_BY = {
    "deepgram_release": _RUNNERS,
    "deepgram_api_key": _LICENSED,
    "deepgram_license_key": _LICENSED,
    "deepgram_models_links": {"node", "engine"},
}
# Behind an air gap the licence's key counts, and elsewhere the API's.
_NOT_READ = {True: "deepgram_api_key", False: "deepgram_license_key"}
REQUIRED = {
    "deepgram_release": "the release to run, for example release-260812",
    "deepgram_api_key": "your Deepgram self-hosted API key, in group_vars/all/vault.yml",
    "deepgram_license_key": "the licence key that Deepgram gave you",
    "deepgram_models_links": "the list of model links that Deepgram gave you",
}


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        yield from _placeholders(context, host)
        yield from _required(context, host)


def _placeholders(context: Context, host: Host) -> Iterator[Problem]:
    for name, value in host.written.items():
        if has(value, PLACEHOLDER):
            fix = f"replace {PLACEHOLDER} by {REQUIRED.get(name, 'the right value')}"
            yield context.problem(host, name, f"{name} is not filled in", fix, PLACEHOLDER)


def _required(context: Context, host: Host) -> Iterator[Problem]:
    desired = dict(REQUIRED)
    desired |= {name: "a value" for name, option in context.options.items() if option.required and name not in desired}
    for name, meaning in desired.items():
        if not NEEDED_BY.get(name, _RUNNERS) & set(host.groups) or name == _NOT_READ[has_air_gap(host)]:
            continue
        if host.vars.get(name) in (None, "", [], {}) and name not in host.unrendered:
            place = context.deployment.where(host, name) or host.name
            file = "group_vars/all/vault.yml" if context.secret(name) else "group_vars/all/main.yml"
            yield Problem(f"{name} is not set", place, fix=f"set it in {file}: {meaning}")
