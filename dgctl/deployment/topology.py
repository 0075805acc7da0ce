"""What of Deepgram runs on a server: its Engines and APIs, as the roles themselves work it out (filter deepgram_topology)."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgctl import content

if TYPE_CHECKING:
    from dgctl.deployment.deployment import Host


@dataclass(frozen=True)
class Stack:
    """An Engine, and the API beside it that no Stack before it has; either may be missing. Each as the filter describes it."""

    engine: dict[str, Any] | None
    api: dict[str, Any] | None

    @property
    def parts(self) -> list[str]:
        return [part for part, one in (("engine", self.engine), ("api", self.api)) if one]

    @property
    def names(self) -> dict[str, str]:
        """Part -> the component whose container deepgram-COMPONENT it is."""
        return {part: one["component"] for part, one in (("engine", self.engine), ("api", self.api)) if one}


def layout(host: Host) -> dict[str, list[dict[str, Any]]]:
    """{engines, apis} of a server; nothing where none of its groups runs any."""
    runs = {"deepgram_parts": [part for part in host.parts if part in ("engine", "api")]}
    if not runs["deepgram_parts"]:
        return {"engines": [], "apis": []}
    return content.filters("deepgram_topology").layout(ChainMap(runs, host.vars))


def stacks(host: Host) -> list[Stack]:
    """A server's Engines one by one; an API stands beside the first of its Engines."""
    found = layout(host)
    apis = {api["component"]: api for api in found["apis"]}
    made = []
    for engine in found["engines"]:
        name = next((name for name, api in apis.items() if engine["component"] in api["engines"]), "")
        made.append(Stack(engine, apis.pop(name, None)))
    return [*made, *(Stack(None, api) for api in apis.values())]


def unserved(host: Host) -> frozenset[str]:
    """The variables of those products alone that a server does not serve: nothing on it is made of their values."""
    module = content.filters("deepgram_topology")
    servers = module.servers_of(host.vars)
    if not servers:  # an Engine a GPU, and nothing says how many
        return frozenset()
    served = [row for server in servers for row in (server.row, server.product)]
    others = [row for row in module.tables()[0].values() if row not in served]
    return _variables_of(others) - _variables_of(served)


def _variables_of(products: list[dict[str, Any]]) -> frozenset[str]:
    """What the rows of the table of products name."""
    found = {name for row in products for key in row if key.endswith("_of") for name in row[key].values()}
    found |= {name for row in products for name in row.get("required") or ()}
    found |= {name for row in products for name in (row.get("groups_by"), (row.get("limit") or {}).get("variable"))}
    return frozenset(filter(None, found))


def variables(host: Host, stack: Stack) -> Mapping[str, Any]:
    """The server's variables as they are for one of its Engines."""
    own: dict[str, Any] = {}
    if stack.engine:
        engine = stack.engine
        own |= {
            "deepgram_profile": engine["profile"],
            "deepgram_metrics_port": engine["metrics_port"],
            "deepgram_engine_port": engine["port"],
            "deepgram_gpu_devices": engine["gpus"],
            "deepgram_engine_settings": engine["toml"],
            "deepgram_engine_max_active_requests": engine["toml"].get("max_active_requests"),
        }
        if engine["models"] is not None:
            links = host.vars.get("deepgram_models_links") or []
            names = content.filters("deepgram_topology").file_names({"deepgram_models_links": links})
            own["deepgram_models_links"] = [
                link for link, name in zip(links, names, strict=True) if name in engine["models"]
            ]
    if stack.api:
        own["deepgram_api_port"] = stack.api["port"]
    return ChainMap(own, host.vars)


def api_tls(variables: Mapping[str, Any], deployment: Path) -> dict[str, str] | None:
    """{name, authority} of APIs that answer over TLS: the name that they prove, and the file here with who signs for it."""
    if not content.filters("deepgram_topology").Server(variables).tls:
        return None
    own, folder = variables.get("deepgram_api_tls_ca"), variables.get("deepgram_api_tls_authority_folder")
    authority = Path(own or Path(folder or deployment / "api-authority") / "authority.crt").expanduser().absolute()
    return {"name": str(variables.get("deepgram_api_tls_name") or "deepgram-api"), "authority": str(authority)}
