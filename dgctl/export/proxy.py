"""A customer's own proxy before this deployment: what it has to know of it, as a configuration of HAProxy, Apache or NGINX."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from dgctl import content
from dgctl.base import nginx_size
from dgctl.deployment.deployment import SERVING, Deployment

HEAD = "# Written by `dgctl export proxy`: changes made here are lost with the next one.\n"
NGINX_FILES = "roles/nginx_proxy/files"
# Health that serves, of the body of /v1/status: Deepgram's page on its status endpoint, as in the role's own program (health.py).
SERVES = ("Ready", "Healthy", "Degraded")


@dataclass(frozen=True)
class Target:
    """An API: its name, host:port, requests at a time (0: no limit), and whether it is asked only when no other can."""

    name: str
    address: str
    limit: int = 0
    backup: bool = False


@dataclass
class Pool:
    """APIs that answer for each other. `paths`: what callers ask of them.

    `speaks`: of Aura in several languages, the ends of voices' names.
    """

    name: str
    profile: str
    paths: list[str]
    targets: list[Target] = field(default_factory=list)
    speaks: list[str] = field(default_factory=list)


def named(text: str, taken: Iterable[str]) -> str:
    """A name that each of the programs takes, which no other has."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", text)
    number, found = 1, plain
    while found in taken:
        number, found = number + 1, f"{plain}-{number + 1}"
    return found


def upstreams(deployment: Deployment, proxies: int = 1, region: str = "") -> list[dict[str, Any]]:
    """The APIs as a proxy outside of the inventory reaches them, each with its share of requests at a time."""
    variables = {name: host.vars for name, host in deployment.hosts.items()}
    own = [f"proxy outside {number}" for number in range(proxies)]
    groups = {**deployment.groups, "proxy": [*deployment.members("proxy"), *own]}
    variables |= {name: {"deepgram_region": region} for name in own}
    nodes = content.filters("deepgram_topology").nodes(own[0], groups, variables)
    limits = content.filters("upstream_limits").upstream_limits
    each = [limits(nodes, name, {"deepgram_region": region}, groups, variables) for name in own]
    # One file is for all of them: the smallest of their shares.
    return [
        {**shares[0], "max_connections": min(one["max_connections"] for one in shares)}
        for shares in zip(*each, strict=True)
    ]


def pools(nodes: list[dict[str, Any]], region: str = "") -> list[Pool]:
    """What of these APIs answers which paths: a pool a profile, of Aura in several languages one a language group."""
    profiles, languages = content.filters("deepgram_topology").tables()
    several = len({node.get("language") for node in nodes if node["profile"] == "aura"}) > 1
    found: dict[str, Pool] = {}
    for node in nodes:
        language = node.get("language", "") if several and node["profile"] == "aura" else ""
        name = "_".join(filter(None, ("deepgram", node["profile"], language)))
        pool = found.setdefault(name, Pool(name, node["profile"], list(profiles[node["profile"]]["paths"])))
        pool.speaks = list(languages.get(language, {}).get("speaks", [language])) if language else []
        here = not region or node.get("region") == region
        taken = [target.name for target in pool.targets]
        key = named(str(node.get("id") or node["name"]), taken)
        pool.targets.append(Target(key, node["address"], int(node["max_connections"]), not here))
    for pool in found.values():
        if all(target.backup for target in pool.targets):  # a region without a server of its own: all of them serve
            pool.targets = [Target(each.name, each.address, each.limit) for each in pool.targets]
    return list(found.values())


def usual(pools: list[Pool]) -> dict[str, str]:
    """Profile -> the pool that is asked where nothing else decides: of Aura in several languages the English one."""
    found: dict[str, str] = {}
    for pool in pools:
        if pool.profile not in found or "en" in pool.speaks:
            found[pool.profile] = pool.name
    return found


def facts(deployment: Deployment, proxies: int, region: str) -> dict[str, Any]:
    """What the templates know."""
    nodes = upstreams(deployment, proxies, region)
    found = pools(nodes, region)
    first = next((deployment.hosts[name].vars for name in deployment.members(*SERVING)), {})
    defaults = content.read(content.root() / "roles/nginx_proxy/defaults/main.yml")

    def value(name: str) -> Any:
        return first.get(f"nginx_proxy_{name}", defaults[f"nginx_proxy_{name}"])

    known = {pool.profile for pool in found}
    profiles = content.filters("deepgram_topology").tables()[0]
    return {
        "head": HEAD,
        "pools": found,
        "paths": {path: profile for profile, row in profiles.items() for path in row["paths"] if profile in known},
        "usual": usual(found),
        "voices": {spoken: pool.name for pool in found for spoken in pool.speaks},
        "health": f'"system_health"\\s*:\\s*"({"|".join(SERVES)})"',
        "proxies": proxies,
        "region": region,
        "tries": int(value("tries")),
        "interval_s": int(value("check_interval_s")),
        "keepalive_s": int(value("keepalive_timeout_s")),
        "stream_s": int(value("stream_timeout_s")),
        "request_s": int(value("request_timeout_s")),
        "shutdown_s": int(value("shutdown_timeout_s")),
        "hsts_s": int(value("hsts_max_age_s")),
        "connections": int(value("worker_connections")),
        "body_text": value("client_max_body_size"),
        "body_bytes": nginx_size.parse(value("client_max_body_size")) or 2 << 30,
        "port": int(value("port")),
        "ciphers": content.read(content.root() / "roles/nginx_proxy/vars/main.yml")["_nginx_proxy_ciphers"],
        "watch": _watch(nodes, region, value),
    }


def _watch(nodes: list[dict[str, Any]], region: str, value: Callable[[str], Any]) -> str:
    """The configuration of NGINX's companion, the program that knows who serves."""
    languages = sorted({node["language"] for node in nodes if node.get("language")})
    document = {
        "nodes": nodes,
        "profiles": list(dict.fromkeys(node["profile"] for node in nodes)),
        "languages": languages if len(languages) > 1 else [],
        "region": region,
        "interval_s": int(value("check_interval_s")),
        "closing_s": float(value("closing_s")),
        "port": int(value("port")),
    }
    return json.dumps(document, indent=2) + "\n"


def made(deployment: Deployment, program: str, proxies: int = 1, region: str = "") -> dict[str, str]:
    """Path below the folder -> text of every file, for one of PROGRAMS."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("dgctl.export", "proxies"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known = facts(deployment, proxies, region)
    found = {name: environment.get_template(template).render(known) for name, template in PROGRAMS[program].items()}
    if program == "nginx":
        folder = content.root() / NGINX_FILES
        found["deepgram-upstreams"] = (folder / "deepgram-upstreams").read_text(encoding="utf-8")
        for path in sorted((folder / "upstreams").glob("*.py")):
            found[f"upstreams/{path.name}"] = path.read_text(encoding="utf-8")
    return found


# Program -> file -> its template. The first is the configuration itself, whose head says that it is an export.
PROGRAMS = {
    "haproxy": {"haproxy.cfg": "haproxy.cfg.j2", "README.md": "haproxy.md.j2"},
    "apache": {"deepgram.conf": "apache.conf.j2", "README.md": "apache.md.j2"},
    "nginx": {
        "deepgram.conf": "nginx.conf.j2",
        "upstreams.conf": "upstreams.conf.j2",
        "upstreams.json": "upstreams.json.j2",
        "deepgram-upstreams.service": "upstreams.service.j2",
        "README.md": "nginx.md.j2",
    },
}
