"""A walk over everything that the roles of a server recorded: is each change of it seen?"""

from __future__ import annotations

import json
import time

from dgctl import deployment as deployments
from dgctl import look, vault
from dgctl.desired import Desired
from tests.scenarios.drift import Change, changes
from tests.scenarios.servers import Deployment, Server

RECORDS = "/var/lib/deepgram/applied-state"
# What packages and Podman write by themselves, our own records, and copies of what was there.
OTHERS = (
    *("/etc/ssl/certs/", "/etc/alternatives", "/etc/ld.so.cache", "/etc/apparmor.d/", "/etc/resolv.conf"),
    *("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/etc/.pwd.lock"),
    *("/etc/nvidia-container-runtime/config.toml", "/etc/docker/daemon.json."),
    *("/etc/hosts", "/etc/hostname", "/etc/cdi/nvidia.yaml.replaced-by-nvidia-cdi-refresh"),
    *("/etc/containers/networks/", RECORDS, "/var/lib/deepgram/models/.lock", "/var/lib/deepgram/verified/"),
)


def planned(deployment: Deployment, server: Server) -> dict[str, str]:
    """Role -> its reasons as one text, by `dgctl plan`."""
    run = deployment.dgctl("plan")
    assert run.exit_code in (0, 10), run.problems() + run.stderr
    steps = run.document["hosts"][server.name].get("plan", {}).get("steps", [])
    assert run.exit_code == (10 if steps else 0)
    return {step["role"]: json.dumps(step["reasons"]) for step in steps}


class Looks:
    """Looks as `dgctl plan` makes them, without the start of a process for each."""

    def __init__(self, deployment: Deployment):
        with vault.opened(deployment.inventory, (), (), False) as passwords:
            read = deployments.load(deployment.inventory, passwords)
        self.host = read.hosts[read.targets[0]]
        desired = Desired(read).of(self.host)
        self.request = [(self.host, {role: said["fingerprint"] for role, said in desired.items()})]

    def drift(self) -> dict[tuple[str, str], str]:
        """(role, thing) -> how it differs."""
        found = []
        look.look(self.request, lambda name, seen: found.append(seen))
        (seen,) = found
        assert not seen.problem and not seen.doubt, seen
        return {
            (role, each["thing"]): each["how"] for role, said in seen.roles.items() for each in said.get("drift", [])
        }

    def settled(self, seconds: float = 90) -> dict[tuple[str, str], str]:
        """What is left of the drift after this time; nothing when it is over before."""
        until = time.monotonic() + seconds
        while (left := self.drift()) and time.monotonic() < until:
            time.sleep(0.5)
        return left


def recorded(server: Server, role: str) -> dict[str, object]:
    """The things in a role's record."""
    return json.loads(server.sh(f"cat {RECORDS}/{role}.json"))["things"]


def every_change(server: Server, roles: list[str]) -> list[Change]:
    found = [change for role in roles for change in changes(role, recorded(server, role))]
    assert len(found) > 60
    return found


def missed(deployment: Deployment, server: Server, roles: list[str]) -> list[str]:
    """The changes that a look does not see, made and undone one by one."""
    looks, found = Looks(deployment), []
    for change in every_change(server, roles):
        server.sh(change.do)
        drift = looks.drift()
        server.sh(change.undo)
        if (change.role, change.thing) not in drift:
            found.append(f"{change} (found: {list(drift)})")
        left = looks.settled()
        assert not left, f"after {change} was undone: {left}"
    return found


def unrecorded(server: Server, roles: list[str]) -> list[str]:
    """Files that no package owns, that are younger than the server, and that no record has."""
    things = [recorded(server, role) for role in roles]
    known = {path for one in things for path in [*one.get("files", {}), *one.get("large_files", {})]}
    found = server.sh(
        "find /etc /usr/local /var/lib/deepgram -xdev -type f -newer /etc/machine-id | sort > /tmp/young; "
        "cat /var/lib/dpkg/info/*.list | sort -u > /tmp/owned; comm -23 /tmp/young /tmp/owned"
    ).split()
    return [path for path in found if path not in known and not path.startswith(OTHERS)]
