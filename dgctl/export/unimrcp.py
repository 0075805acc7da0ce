"""What UniMRCP's Deepgram plugin has to be told, as developers.deepgram.com/docs/deepgram-unimrcp-plugin has it."""

from __future__ import annotations

from typing import Any

from dgctl import content
from dgctl.deployment.deployment import PROXIES, SERVING, Deployment, Host

MARK = "umsdeepgram.xml"
HEAD = "<!-- Written by `dgctl export unimrcp`: changes made here are lost with the next one. -->\n"
PORT, ALLOW = "nginx_proxy_plain_port", "nginx_proxy_plain_allow"
PROFILE = "stt"  # what answers /v1/listen/stream
KEY = '{"auth-key": ""}\n'
README = """\
# UniMRCP before this deployment

Written by `dgctl export unimrcp`.

- `umsdeepgram.xml`: the element `service-endpoints`. Put it into the plugin's own umsdeepgram.xml, in the place of the element of
  that name; the rest of that file is the plugin's.
- `deepgram.subscription.key`: the plugin wants this file to be there; a deployment of one's own asks for no key.

The plugin speaks no TLS: its servers must be in nginx_proxy_plain_allow, and their network one that you trust.
"""


def endpoints(deployment: Deployment) -> list[str]:
    """The URI of each server that has a listener for the plugin."""
    names = deployment.members(PROXIES) or deployment.members(*SERVING)
    hosts = [deployment.hosts[name] for name in names]
    address = content.filters("deepgram_topology").address_of
    return [
        f"ws://{address(host.name, host.vars)}:{host.vars[PORT]}/v1/listen/stream" for host in hosts if listens(host)
    ]


def listens(host: Host) -> bool:
    """Whether there is a listener, and something behind it that transcribes streams."""
    nodes: Any = host.vars.get("nginx_proxy_nodes")
    profiles = [str(node.get("profile")) for node in nodes] if isinstance(nodes, list) else [PROFILE]
    serves = PROFILE in profiles or (profiles == ["all"] and host.vars.get("deepgram_profile", PROFILE) == PROFILE)
    return bool(host.vars.get(PORT) and host.vars.get(ALLOW)) and serves


def made(uris: list[str]) -> dict[str, str]:
    """Path below the folder -> text of every file."""
    lines = "".join(f'  <service-endpoint enable="true" service-uri="{uri}"/>\n' for uri in uris)
    element = f'<service-endpoints load-balancing="round-robin" fail-over="true">\n{lines}</service-endpoints>\n'
    return {MARK: HEAD + element, "deepgram.subscription.key": KEY, "README.md": README}
