"""The wanted driver: a branch that there is, a kernel module that it has, both for the GPUs that the inventory names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dgctl.base.errors import Problem
from dgctl.content import drivers
from dgctl.deployment.deployment import WITH_GPU, Host
from dgctl.validation.context import Context

_MODULES = ("auto", "open", "proprietary")


def problems(context: Context) -> Iterator[Problem]:
    rules = drivers.rules()
    for host in context.served if rules else []:
        if set(host.groups) & set(WITH_GPU):
            yield from _of(context, host, rules)


def _of(context: Context, host: Host, rules: Any) -> Iterator[Problem]:
    branch, module = (str(_value(host, f"nvidia_driver_{name}") or "") for name in ("branch", "kernel_module"))
    if not re.fullmatch(r"\d{3}", branch) or module not in _MODULES:
        return  # the business of values.py and types.py
    names, extra = _value(host, "preflight_gpu_names"), _value(host, "preflight_gpus_extra")
    models = drivers.models(names if isinstance(names, list) else [], extra if isinstance(extra, dict) else {})
    found = rules.problem(branch, module, models)
    if found:
        what, fix = found
        name = _written(host, rules.problem(branch, "auto", models) is None)
        yield context.problem(host, name, what, fix[0].lower() + fix[1:], host.vars.get(name))


def _written(host: Host, branch_fits: bool) -> str:
    """The variable to point at: of those that somebody wrote, the one that does not fit the others."""
    names = ["nvidia_driver_branch", "nvidia_driver_kernel_module", "preflight_gpu_names"]
    order = names[1:] if branch_fits else names
    return next((name for name in order if name in host.written), order[0])


def _value(host: Host, name: str) -> Any:
    return None if name in host.unrendered else host.vars.get(name)
