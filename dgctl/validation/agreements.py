"""Values that must agree with others of the same server, by the schema's `at_most` and `with`, and by what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dgctl.base import nginx_size
from dgctl.base.errors import Problem
from dgctl.content.schema.faults import converted
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has

_GB = 1000 * 1000 * 1000


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        for name, value in context.set_values(host):
            variable = context.variables.get(name)
            if not variable or has(value, "{{") or has(value, PLACEHOLDER) or context.faults(name, value):
                continue
            for other, rule in variable.schema.get("at_most", {}).items():
                yield from _above(context, host, name, other, rule)
            for other in variable.schema.get("with", ()):
                yield from _alone(context, host, name, other)
        yield from _driver(context, host)
        yield from _gpus(context, host)
        yield from _floor(context, host)
        yield from _uploads(context, host)
        yield from _root(context, host)


def _above(context: Context, host: Host, name: str, other: str, rule: dict[str, Any]) -> Iterator[Problem]:
    """A limit above the one that counts in any case; 0 and null are none."""
    value, limit = _number(host, name), _number(host, other)
    if not value or not limit or value <= limit or not set(rule.get("parts", ())) <= context.parts(host):
        return
    what = f"{name} is above {other} ({limit}): {rule['why']}"
    yield context.problem(host, name, what, f"give {limit} or less, or raise {other}", host.vars[name])


def _alone(context: Context, host: Host, name: str, other: str) -> Iterator[Problem]:
    """A value that means nothing without another one, which is empty."""
    if host.vars[name] in (None, "") or other in host.unrendered or host.vars.get(other) not in (None, ""):
        return
    what = f"{name} is set, and {other} is not"
    yield context.problem(host, name, what, f"set {other} too, or leave both empty", host.vars[name])


def _number(host: Host, name: str) -> int:
    value = str(host.vars.get(name)) if name not in host.unrendered else ""
    return int(value) if value.isascii() and value.isdigit() else 0


def _driver(context: Context, host: Host) -> Iterator[Problem]:
    """An exact driver version outside the branch that is pinned."""
    name = "nvidia_driver_version"
    version, branch = (str(host.vars.get(each) or "") for each in (name, "nvidia_driver_branch"))
    if {name, "nvidia_driver_branch"} & host.unrendered.keys():
        return
    if version and branch and version.split(".")[0] != branch:
        what = f"{name} is not of the branch {branch}"
        yield context.problem(host, name, what, "set nvidia_driver_branch to match", version)


def _gpus(context: Context, host: Host) -> Iterator[Problem]:
    """As many names of GPUs as GPUs."""
    names, count = host.vars.get("preflight_gpu_names"), _number(host, "preflight_gpu_count")
    if isinstance(names, list) and names and count and len(names) != count:
        at = "preflight_gpu_names" if "preflight_gpu_names" in host.written else "preflight_gpu_count"
        what = f"preflight_gpu_names has {len(names)} entries, and preflight_gpu_count is {count}"
        yield context.problem(host, at, what, "give one name a GPU, or leave one of the two out", host.vars[at])


def _floor(context: Context, host: Host) -> Iterator[Problem]:
    """More servers that must go on serving than there are: no change would ever be let through."""
    name = "deepgram_min_serving"
    there = len(context.served)
    if name in host.written and _number(host, name) > there:
        what = f"{name} is above the number of servers ({there}): none could ever be changed"
        yield context.problem(host, name, what, f"give {max(there - 1, 0)} or less", host.vars[name])


def _uploads(context: Context, host: Host) -> Iterator[Problem]:
    """A file system for callers' files in which the largest of them has no room."""
    size, largest = "nginx_proxy_upload_buffer_gb", "nginx_proxy_client_max_body_size"
    at = next((name for name in (size, largest) if name in host.written), "")
    if not at or any(name in host.unrendered or context.faults(name, host.vars.get(name)) for name in (size, largest)):
        return
    room, needed = _number(host, size), nginx_size.parse(host.vars[largest]) or 0
    received = converted({"type": "boolean"}, host.vars.get("nginx_proxy_request_buffering")) is True
    if room and received and needed >= room * _GB:
        what = f"{size} ({room}) has no room for one file of {largest} ({host.vars[largest]})"
        yield context.problem(host, at, what, f"set {size} to {needed // _GB + 1} or more, or to 0", host.vars[at])


def _root(context: Context, host: Host) -> Iterator[Problem]:
    """A login that does not become root: the roles' tasks are root's."""
    name = "ansible_become"
    user = host.vars.get("ansible_user") or host.vars.get("ansible_ssh_user")
    if name not in host.written or user == "root" or host.vars.get("ansible_connection") == "local":
        return
    if converted({"type": "boolean"}, host.vars[name]) is False:
        what = f"{name} is false, and {user or 'the user'} is not root: the roles need root"
        yield context.problem(host, name, what, f"remove {name}, or log in as root", host.vars[name])
