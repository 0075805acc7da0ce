"""What several checks look at: asked once a host, one round trip a subject (fixtures, loaded as a pytest
plugin).
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from dgctl import content
from dgctl.base.ssh import resolved, with_options
from dgctl.verify import containers, fabric, gpus, models, tls, topology
from dgctl.verify.ask import Answer, ask
from dgctl.verify.containers import Container, Runtime
from dgctl.verify.expect import Unmet

NGINX_CERTIFICATE = "/etc/nginx/tls/deepgram.crt"
OWN_KEY = "/run/deepgram-callers/own.key"  # there where callers must show who they are


@pytest.fixture(scope="session")
def runtime(desired: dict[str, Any]) -> Runtime:
    return Runtime(desired["deepgram_container_engine"] or "docker", desired.get("names") or {})


# One line a PCI device: bus, vendor, class.
PCI = """
for device in /sys/bus/pci/devices/*; do
  echo "${device##*/} $(cat "$device/vendor") $(cat "$device/class")"
done"""


@pytest.fixture(scope="session")
def driver(host: Host) -> dict[str, Answer]:
    """The driver's versions and GPUs, from the kernel, the disk, nvidia-smi and PCI."""
    query = "nvidia-smi --format=csv,noheader,nounits --query-gpu="
    return ask(
        host,
        {
            "loaded": "cat /sys/module/nvidia/version",
            "installed": "modinfo -F version nvidia",
            "smi": f"{query}driver_version",
            "gpus": f"{query}{gpus.FIELDS}",
            "persistence": f"{query}persistence_mode",
            "listed": "nvidia-smi -L",
            "pci": PCI,
            "fabric": fabric.question(),
            "nouveau": "ls -d /sys/module/nouveau /sys/module/nova_core 2>/dev/null || true",
        },
    )


@pytest.fixture(scope="session")
def engine_gpus(driver: dict[str, Answer], desired: dict[str, Any]) -> list[str]:
    """The UUIDs of the host's GPUs that the Engine is given."""
    return gpus.handed_out(gpus.listed(driver["listed"].lines), desired["deepgram_gpu_devices"] or [])


@pytest.fixture(scope="session")
def parts(planned: dict[str, Any]) -> list[str]:
    """The containers that run on the host: of engine, api, license-proxy and billing."""
    return planned["parts"]


@pytest.fixture(scope="session")
def containers_seen(host: Host, runtime: Runtime, parts: list[str]) -> dict[str, Container]:
    """The host's containers, by part, as the container engine describes them."""
    answers = ask(host, {k: v for name in parts for k, v in runtime.questions(name).items()})
    return {name: containers.read(answers, name) for name in parts}


@dataclass(frozen=True)
class Service:
    """What the Deepgram programs say over HTTP on the host, and in their logs since their last start: a line an event."""

    answers: dict[str, Answer]
    logs: dict[str, list[str]]


# The events of the logs that checks look for, in each format (json quotes the names of fields); nothing else leaves the host.
LOG_PATTERN = "|".join(
    (
        *models.LOG_WORDS,
        "[Ff]alling back to|[Uu]sing devices|[Dd]evice:? cpu",
        'Unable to read model search path|(half_precision|has_fips_encryption|openssl_fips_enabled)"?[=:] ?false',
    )
)


# The GPU devices that the Engine's processes hold open, as every CUDA program does.
OPEN_DEVICES = """
pid=$({pid}) && test "$pid" -gt 0 || exit 1
for process in $pid $(cat /proc/$pid/task/*/children 2>/dev/null); do readlink /proc/$process/fd/*; done |
  grep -E '^/dev/nvidia[0-9]+$' | sort -u"""


@pytest.fixture(scope="session")
def service(host: Host, runtime: Runtime, desired: dict[str, Any], parts: list[str]) -> Service:
    asked = {f"log_{name}": runtime.logged(name, LOG_PATTERN) for name in parts}
    if "api" in parts:
        api = api_url(desired)
        asked |= {name: f"fetch {api}/{name}" for name in ("status", "models", "certificates")}
        asked["engine"] = f"fetch {api}/status/engine"
    if "engine" in parts:
        asked["metrics"] = f"fetch {metrics_url(desired)}"
        asked["devices"] = OPEN_DEVICES.format(pid=runtime.inspect("engine", "{{.State.Pid}}"))
    answers = ask(host, asked)
    return Service(answers, {name: models.events(answers[f"log_{name}"]) for name in parts})


def api_url(desired: dict[str, Any]) -> str:
    scheme = "https" if desired.get("api_tls") else "http"
    return f"{scheme}://{ask_at(desired['deepgram_api_bind_address'])}:{desired['deepgram_api_port']}/v1"


def metrics_url(desired: dict[str, Any]) -> str:
    return f"http://{ask_at(desired['deepgram_metrics_bind_address'])}:{desired['deepgram_metrics_port']}/metrics"


def ask_at(bind_address: str | None) -> str:
    """Where the host itself reaches a port bound to `bind_address`."""
    return str(content.filters("local_address").local_address(bind_address))


@pytest.fixture(scope="session")
def ssh(planned: dict[str, Any], host: Host) -> dict[str, str]:
    """What ssh makes of the options and of ~/.ssh/config: setting in small letters -> value. Empty without SSH."""
    login = planned["route"]["login"]
    return resolved(login) if login else {}


@pytest.fixture(scope="session")
def address(planned: dict[str, Any], ssh: dict[str, str]) -> str:
    """The host's address for what is not SSH: an alias of ~/.ssh/config is no address."""
    return ssh.get("hostname", planned["address"])


@pytest.fixture(scope="session")
def behind_jump(ssh: dict[str, str]) -> bool:
    """True when SSH goes through another machine: then this one may not reach the host's other ports."""
    return any(ssh.get(setting, "none") != "none" for setting in ("proxyjump", "proxycommand"))


@pytest.fixture(scope="session")
def nginx(host: Host) -> dict[str, str]:
    """What systemd says of the host's NGINX: ActiveState, UnitFileState."""
    return ask(host, {"unit": "systemctl show nginx.service --property=ActiveState,UnitFileState"})["unit"].pairs


def runs(unit: dict[str, str]) -> bool:
    """Whether a unit runs; one of which systemd says nothing is left to the checks that need it."""
    return unit.get("ActiveState", "active") in ("active", "reloading")


@pytest.fixture(scope="session")
def proxy(
    nginx: dict[str, str],
    host: Host,
    address: str,
    behind_jump: bool,
    host_name: str,
    planned: dict[str, Any],
    desired: dict[str, Any],
) -> tls.Proxy:
    """The host's TLS proxy as clients reach it, with the trust that the deployment gives it."""
    if not runs(nginx):
        pytest.skip("follows from: nginx is not running")
    own, source = None, desired["nginx_proxy_tls_source"]
    if source in (None, "self-signed"):
        own = ask(host, {"pem": f"cat {NGINX_CERTIFICATE}"})["pem"]
        if "BEGIN CERTIFICATE" not in own.text:
            raise Unmet(own, f"a certificate in {NGINX_CERTIFICATE}", "dgctl provision")
    name, port = desired["nginx_proxy_server_name"] or host_name, int(desired["nginx_proxy_port"])
    tunnel = _tunnel(planned, "127.0.0.1", port) if behind_jump else ""
    key = _own_key(host) if is_guarded(desired) else ""
    authority = desired["nginx_proxy_acme_ca_file"] if source == "acme" else ""
    return tls.Proxy(address, port, name, own.out if own else None, tunnel, key=key, also_trust=_file(authority))


def _file(path: str | None) -> str:
    """What a file on this machine holds; "" for none."""
    at = Path(path).expanduser() if path else None
    return at.read_text() if at and at.is_file() else ""


def is_guarded(desired: dict[str, Any]) -> bool:
    """Whether the proxy's callers must show a key or a certificate."""
    return (desired["nginx_proxy_callers"] or "open") != "open"


def _own_key(host: Host) -> str:
    """The key that the proxy made for its own checks: read over SSH, held in memory, shown to the proxy alone."""
    reported = ask(host, {"key": f"cat {OWN_KEY}"})["key"]
    if not reported.text:
        raise Unmet(
            reported.err or f"exit {reported.rc}",
            f"the proxy's own key in {OWN_KEY}",
            "systemctl status deepgram-callers; dgctl provision",
        )
    return reported.text


@pytest.fixture(scope="session")
def entrance(request: pytest.FixtureRequest, host: Host, planned: dict[str, Any]) -> tls.Proxy:
    """Where test requests go: the host's own NGINX, or past the proxies, through SSH, to the API's own port.

    So a server that the proxies give no requests is known to transcribe before they do.
    """
    if topology.TLS in planned["groups"]:
        return request.getfixturevalue("proxy")
    return api_port(planned)


def api_port(planned: dict[str, Any]) -> tls.Proxy:
    """A host's API itself, through SSH."""
    desired = planned["desired"]
    at, port = ask_at(desired["deepgram_api_bind_address"]), int(desired["deepgram_api_port"])
    tunnel = _tunnel(planned, at, port) if planned["route"]["login"] else ""
    return tls.of_api(at.strip("[]"), port, desired.get("api_tls"), tunnel)


def _tunnel(planned: dict[str, Any], address: str, port: int) -> str:
    """A socket here that leads, over the host's SSH connection, to a port on the host."""
    forward = f"{planned['tunnel']}:{address}:{port}"
    words = with_options(planned["route"]["login"], "-O", "forward", "-L", forward)
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        seen = done.stderr.decode(errors="replace")
        raise Unmet(seen, f"a way to port {port} through SSH", "AllowTcpForwarding in /etc/ssh/sshd_config")
    return planned["tunnel"]
