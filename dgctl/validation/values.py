"""Ranges and forms of values, required values, and placeholders that nobody filled in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from dgctl.deployment import Host
from dgctl.errors import Problem
from dgctl.locate import where
from dgctl.validation.context import PLACEHOLDER, Context, has

# What no deployment works without, and how it is given.
_RUNNERS = {"node", "api", "engine", "license_proxy"}
NEEDED_BY = {
    "deepgram_release": _RUNNERS,
    "deepgram_api_key": _RUNNERS,
    "deepgram_models_links": {"node", "engine"},
}
REQUIRED = {
    "deepgram_release": "the release to run, for example release-260812",
    "deepgram_api_key": "your Deepgram self-hosted API key, in group_vars/all/vault.yml",
    "deepgram_models_links": "the list of model links that Deepgram gave you",
}
_PORTS = ("deepgram_api_port", "deepgram_metrics_port", "nginx_proxy_port")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*$")


def _matches(pattern: str) -> Callable[[Any], bool]:
    # A wrong type is the business of types.py, here and below.
    return lambda value: isinstance(value, (list, dict)) or bool(re.fullmatch(pattern, str(value)))


def _number(low: float, high: float = float("inf")) -> Callable[[Any], bool]:
    def right(value: Any) -> bool:
        try:
            return low <= float(value) <= high
        except (TypeError, ValueError):
            return True

    return right


def _https(value: Any) -> bool:
    parts = urlsplit(str(value))
    return parts.scheme == "https" and bool(parts.hostname)


def _address(value: Any) -> bool:
    try:
        return bool(ip_address(str(value)))
    except ValueError:
        return False


def _name(value: Any) -> bool:
    return _address(value) or bool(_HOSTNAME.match(str(value)))


@dataclass(frozen=True)
class Rule:
    """Values of the variables whose whole name matches `names` must be `must`."""

    names: str
    right: Callable[[Any], bool]
    must: str


# Seconds of which the role's own comment says that 0 means none at all.
_NONE_AT_0 = r"nginx_proxy_(hsts_max_age|keepalive_timeout)_s|deepgram_hung_stop_s"

RULES = (
    Rule(r".+_port", _number(1, 65535), "a port from 1 to 65535"),
    Rule(
        rf"(?!{_NONE_AT_0}).+_(s|days|retries)|docker_.*_file|deepgram_.*_(requests|max_streams)",
        _number(1),
        "1 or more",
    ),
    Rule(
        rf"{_NONE_AT_0}|deepgram_min_serving|preflight_min_.*|preflight_gpu_count|.+_(mb|gb)", _number(0), "0 or more"
    ),
    Rule(r"preflight_min_gpu_compute_capability", _matches(r"\d+\.\d+"), 'like "7.5", in quotes'),
    Rule(r"deepgram_release", _matches(r"release-\d{6}(-[A-Za-z0-9.]+)*"), "like release-260812"),
    Rule(r"deepgram_api_key", _matches(r"\S+"), "one word without spaces"),
    Rule(
        r"deepgram_registry",
        _matches(r"[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9._/-]+)?"),
        "HOST[:PORT]/PATH without https://",
    ),
    Rule(r"deepgram_.*_bind_address", _address, "an IP address of the server"),
    Rule(
        r"deepgram_license_(servers|upstream)|license_proxy_servers",
        lambda urls: isinstance(urls, list) and all(map(_https, urls)),
        "a list of https:// URLs",
    ),
    Rule(
        r"deepgram_image_digests",
        lambda found: _digests(found),
        "api and engine, each sha256: and 64 hex digits",
    ),
    Rule(r"nvidia_driver_branch", _matches(r"\d{3}"), 'a branch like "580"'),
    Rule(r".+_repository_key_fingerprint", _matches(r"([0-9A-Fa-f] ?){40}"), "40 hex digits"),
    Rule(r".+_key_url", _https, "an https:// URL"),
    Rule(r"nginx_proxy_max_connections", _matches(r"auto|\d+"), "auto, a whole number, or null for no limit"),
    Rule(r"nginx_proxy_server_name", lambda value: value == "" or _name(value), "a host name or an IP address"),
)


def _digests(found: Any) -> bool:
    if not isinstance(found, dict):
        return True
    digest = re.compile(r"sha256:[0-9a-f]{64}")
    return all(key in ("api", "engine") and digest.fullmatch(str(value)) for key, value in found.items())


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        yield from _placeholders(context, host)
        yield from _required(context, host)
        yield from _rules(context, host)
        yield from _links(context, host)
        yield from _ports(context, host)
        yield from _driver(context, host)


def _placeholders(context: Context, host: Host) -> Iterator[Problem]:
    for name, value in host.written.items():
        if has(value, PLACEHOLDER):
            fix = f"replace {PLACEHOLDER} by {REQUIRED.get(name, 'the right value')}"
            yield context.problem(host, name, f"{name} is not filled in", fix, PLACEHOLDER)


def _required(context: Context, host: Host) -> Iterator[Problem]:
    wanted = dict(REQUIRED)
    wanted |= {name: "a value" for name, option in context.options.items() if option.required and name not in wanted}
    for name, meaning in wanted.items():
        if not NEEDED_BY.get(name, _RUNNERS) & set(host.groups):
            continue
        if host.vars.get(name) in (None, "", [], {}) and name not in host.unrendered:
            place = context.deployment.where(host, name) or host.name
            file = "group_vars/all/vault.yml" if context.secret(name) else "group_vars/all/main.yml"
            yield Problem(f"{name} is not set", place, fix=f"set it in {file}: {meaning}")


def _rules(context: Context, host: Host) -> Iterator[Problem]:
    for name, value in context.set_values(host):
        if (name not in context.options and name not in REQUIRED) or value in (None, "", [], {}):
            continue
        if has(value, "{{") or has(value, PLACEHOLDER):
            continue
        for rule in RULES:
            if re.fullmatch(rule.names, name) and not rule.right(value):
                yield context.problem(host, name, f"{name} must be {rule.must}", f"give {rule.must}", value)
                break


def bare(url: str) -> str:
    """A link without its query string, which may be a signature that opens it."""
    return url.split("?", 1)[0]


def _links(context: Context, host: Host) -> Iterator[Problem]:
    """Model links: https, a file name each, no two of one name, checksums that can be checksums."""
    name = "deepgram_models_links"
    written = host.written.get(name)
    links = host.vars.get(name)
    if not isinstance(links, list) or has(links, PLACEHOLDER) or name in host.unrendered:
        return
    files = Counter(file_name(link) for link in links)
    for index, link in enumerate(links):
        what = _wrong_link(link, files)
        if what:
            item = written[index] if isinstance(written, list) else written
            place = where(item) or context.deployment.where(host, name) or host.name
            yield Problem(what[0], place, bare(_url(link)), what[1])


def _url(link: Any) -> str:
    return str(link.get("url", "")) if isinstance(link, dict) else str(link)


def file_name(link: Any) -> str:
    """The name of the file that a model link leads to."""
    return PurePosixPath(urlsplit(_url(link)).path).name


def _wrong_link(link: Any, files: Counter[str]) -> tuple[str, str] | None:
    if not _https(_url(link)):
        return "a model link must be an https:// URL", "give the link as Deepgram sent it"
    if not file_name(link):
        return "a model link must end in a file name", "give the link as Deepgram sent it"
    if files[file_name(link)] > 1:
        return "two model links have the same file name: one would replace the other", "remove one of them"
    checksum = link.get("sha256") if isinstance(link, dict) else None
    if checksum and not re.fullmatch(r"[0-9a-fA-F]{64}", str(checksum)):
        return (
            "sha256 must be 64 hex digits",
            "give the checksum that `sha256sum FILE` prints, or leave it out",
        )
    return None


def _ports(context: Context, host: Host) -> Iterator[Problem]:
    """Two of a server's own ports that are one."""
    first: dict[str, str] = {}
    for name in _PORTS:
        port = str(host.vars.get(name, "")) if name not in host.unrendered else ""
        other = first.setdefault(port, name)
        if port and other != name:
            culprit = name if name in host.written else other
            yield context.problem(host, culprit, f"{name} and {other} are the same port", "give each its own", port)


def _driver(context: Context, host: Host) -> Iterator[Problem]:
    """An exact driver version outside the branch that is pinned."""
    version, branch = (
        str(host.vars.get("nvidia_driver_version") or ""),
        str(host.vars.get("nvidia_driver_branch") or ""),
    )
    if version and branch and version.split(".")[0] != branch:
        what = f"nvidia_driver_version is not of the branch {branch}"
        yield context.problem(host, "nvidia_driver_version", what, "set nvidia_driver_branch to match", version)
