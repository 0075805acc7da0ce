"""Checks of JSON Schema's keyword `format`, for what a regular expression cannot say. Each takes text, and is pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\.?\Z", re.ASCII)
_VISIBLE = re.compile(r"[\x21-\x7e]+\Z")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\Z", re.ASCII)
_REPOSITORY = re.compile(r"([^/]+)(/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*\Z", re.ASCII)
_SIZE = re.compile(r"(\d{1,18})([kKmMgG]?)\Z", re.ASCII)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30}
# Directories of the system's (hier(7)): nothing of Deepgram's belongs beside what is there. Those of the second list hold others.
_SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
)
_SHARED = ("/", "/home", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var", "/var/lib", "/var/log", "/var/lib/deepgram")


def address(text: str) -> bool:
    """One IP address that a host can have: not the one that means all, none or many of them."""
    try:
        found = ip_address(text)
    except ValueError:
        return False
    return not (found.is_unspecified or found.is_multicast or text == "255.255.255.255")


def host(text: str) -> bool:
    """A host name (also one of ~/.ssh/config) or an IP address; `192.0.2.300` is neither."""
    if address(text):
        return True
    return bool(_NAME.match(text)) and not re.search(r"(^|\.)\d+\.?\Z", text)


def ipv4(text: str) -> bool:
    try:
        found = IPv4Address(text)
    except ValueError:
        return False
    return not (found.is_multicast or text == "255.255.255.255")


def port(text: str) -> bool:
    return bool(re.fullmatch(r"[1-9][0-9]{0,4}", text)) and int(text) <= 65535


def host_port(text: str) -> bool:
    """HOST:PORT, an IPv6 address in brackets."""
    name, colon, number = text.rpartition(":")
    if not colon or not port(number):
        return False
    if name.startswith("[") and name.endswith("]"):
        return ":" in name and address(name[1:-1])
    return ":" not in name and host(name)


def network(text: str) -> bool:
    """An address, or a network whose bits behind the prefix are clear."""
    if "/" not in text:
        return address(text)
    try:
        return bool(re.fullmatch(r"[^/]+/\d+", text)) and ip_network(text, strict=True) is not None
    except ValueError:
        return False


def network_or_host(text: str) -> bool:
    return network(text) or host(text)


def _split(text: str, *schemes: str) -> SplitResult | None:
    """A URL of one of these schemes with a host that can be one; None for anything else."""
    if not _VISIBLE.match(text) or re.search(r"""["'`<>\\^{|}]""", text):
        return None
    try:
        parts = urlsplit(text)
        number = parts.port
    except ValueError:
        return None
    if parts.scheme not in schemes or number == 0 or parts.netloc.endswith(":"):
        return None
    return parts if parts.hostname and host(parts.hostname) else None


def repository_url(text: str) -> bool:
    """http://, https:// or, on the server itself, file:///."""
    local = re.fullmatch(r"file:///[\x21-\x7e]+", text)
    return bool(local) or bool(_split(text, "http", "https"))


def https_url(text: str) -> bool:
    """An https:// URL without a user, a query or a fragment."""
    parts = _split(text, "https")
    return bool(parts) and not (parts.query or parts.fragment or "@" in parts.netloc)


def model_url(text: str) -> bool:
    """An https:// URL, signed or not, whose path ends in a name that a file may have and climbs nowhere."""
    parts = _split(text, "https")
    if not parts or "@" in parts.netloc or parts.fragment:
        return False
    path = unquote(parts.path)
    return not path.endswith("/") and ".." not in path.split("/") and bool(_FILE_NAME.match(PurePosixPath(path).name))


def server_name(text: str) -> bool:
    """What a certificate can be made for: a host name, *.DOMAIN, an IP address."""
    return address(text) or ("_" not in text and host(text.removeprefix("*.")))


def repository(text: str) -> bool:
    """HOST[:PORT]/PATH of a registry, without a tag."""
    found = _REPOSITORY.match(text)
    return bool(found) and (host_port(found[1]) if ":" in found[1] else host(found[1]))


def nginx_size(text: str) -> bool:
    """A whole number with k, m or g that fits 63 bits, as NGINX counts bytes."""
    found = _SIZE.match(text)
    return bool(found) and int(found[1]) << _UNITS[found[2].lower()] < 1 << 63


def data_dir(text: str) -> bool:
    """The absolute path of a directory on a server that may be one of its own."""
    if not re.fullmatch(r"(/[A-Za-z0-9_@%+=~-][A-Za-z0-9._@%+=~-]*)+/?", text, re.ASCII):
        return False
    path = text.rstrip("/")
    return path not in _SHARED and not any(path == each or path.startswith(f"{each}/") for each in _SYSTEM)


def controller_file(text: str) -> bool:
    """A path on this machine that does not depend on where somebody stands; whether a file is there, others ask."""
    return text.startswith(("/", "~")) and text.isprintable() and not text.endswith("/")


def shell_words(text: str) -> bool:
    """What a shell would divide into words: each quotation is closed."""
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True


CHECKS: dict[str, Callable[[str], bool]] = {
    "controller-file": controller_file,
    "data-dir": data_dir,
    "host": host,
    "host-port": host_port,
    "shell-words": shell_words,
    "repository-url": repository_url,
    "https-url": https_url,
    "ipv4": ipv4,
    "model-url": model_url,
    "network": network,
    "network-or-host": network_or_host,
    "nginx-size": nginx_size,
    "repository": repository,
    "server-name": server_name,
}
