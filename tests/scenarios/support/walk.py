"""A walk over everything that the roles of a server recorded: is each change of it seen?"""

from __future__ import annotations

import json
import time

from dgctl.deployment import deployment as deployments
from dgctl.deployment import vault
from dgctl.plan import look
from dgctl.plan.desired import Desired
from tests.scenarios.support.drift import Change, at_once, changes, rounds
from tests.scenarios.support.servers import Deployment, Server

RECORDS = "/var/lib/deepgram/applied-state"
# What packages and Podman write by themselves, our own records, and copies of what was there.
OTHERS = (
    *("/etc/ssl/certs/", "/etc/alternatives", "/etc/ld.so.cache", "/etc/apparmor.d/", "/etc/resolv.conf"),
    *("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/etc/.pwd.lock"),
    *("/etc/nvidia-container-runtime/config.toml", "/etc/docker/daemon.json."),
    *(
        "/etc/hosts",
        "/etc/hostname",
        "/etc/cdi/nvidia.yaml.replaced-by-nvidia-cdi-refresh",
        "/etc/cdi/nvidia.json.replaced-by-nvidia-cdi-refresh",
    ),
    *("/etc/containers/networks/", RECORDS, "/var/lib/deepgram/models/.lock", "/var/lib/deepgram/verified/"),
    "/var/lib/deepgram/lease.json",  # whose run may change the server
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
        self.request = [(self.host, {role: reported["fingerprint"] for role, reported in desired.items()})]

    def drift(self) -> dict[tuple[str, str], str]:
        """(role, thing) -> how it differs."""
        found = []
        look.look(self.request, lambda name, seen: found.append(seen))
        (seen,) = found
        assert not seen.problem and not seen.doubt, seen
        return {
            (role, each["thing"]): each["how"]
            for role, reported in seen.roles.items()
            for each in reported.get("drift", [])
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
    """The changes that a look does not see: many are made, looked for and undone at once."""
    looks, found = Looks(deployment), []
    for lot in rounds(every_change(server, roles)):
        server.sh("\n".join(f"( {change.do} ) >/dev/null 2>&1" for change in lot), check=False)
        drift = looks.drift()
        # In the roles' order: a container that starts again needs its driver.
        server.sh("\n".join(f"( {change.undo} ) >/dev/null 2>&1" for change in lot), check=False)
        found += [str(change) for change in lot if (change.role, change.thing) not in drift]
        left = looks.settled()
        assert not left, f"{left}, after these were undone: {[str(change) for change in lot]}"
    return found


# What of each thing is as it was; of what the server makes itself not its content.
STATE = """
import json, os, subprocess, sys
out = {}
for name in sys.argv[1:]:
    things = json.load(open(f"/var/lib/deepgram/applied-state/{name}.json"))["things"]
    for path in [*things.get("files", {}), *things.get("large_files", {}), *things.get("absent", [])]:
        seen = os.lstat(path) if os.path.lexists(path) else None
        content = subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout[:64] if os.path.isfile(path) else ""
        if path == "/etc/docker/daemon.json":  # an operator's own key is gone with the file
            content = {key: one for key, one in json.load(open(path)).items() if key != "max-concurrent-downloads"}
        link = os.readlink(path) if os.path.islink(path) else ""
        out["path " + path] = [oct(seen.st_mode), seen.st_uid, seen.st_gid, content, link] if seen else None
    for package in things.get("packages", {}):
        words = ["dpkg-query", "-W", "-f", "${Version} ${Status}", package]
        out["package " + package] = subprocess.run(words, capture_output=True, text=True).stdout
    for unit in {*things.get("units", {}), *things.get("read_at_start", {}), *things.get("read_at_reload", {})}:
        words = ["systemctl", "show", "--value", "--property=ActiveState,UnitFileState,LoadState", unit]
        out["unit " + unit] = subprocess.run(words, capture_output=True, text=True).stdout.split()
    for container in (things.get("containers") or {"names": {}})["names"]:
        form = '{{.Image}} {{.State.Status}} {{index .Config.Labels "com.docker.compose.config-hash"}} {{.Path}} {{.Args}}'
        words = [things["containers"]["engine"], "inspect", "-f", form, container]
        out["container " + container] = subprocess.run(words, capture_output=True, text=True).stdout
out["driver"] = subprocess.run(["sh", "-c", "cat /sys/module/nvidia/version; nvidia-smi -q | grep -i persistence"],
                               capture_output=True, text=True).stdout
print(json.dumps(out))
"""
MADE_HERE = (
    *("path /etc/nginx/tls/deepgram.crt", "path /etc/nginx/tls/deepgram.key"),
    "path /var/lib/deepgram/models/.sha256.json",  # it has the time at which a model was written
)


def state(server: Server, roles: list[str]) -> dict[str, object]:
    """Everything that the roles answer for, as the server's own programs show it: thing -> its state."""
    reported = json.loads(server.sh(f"python3 - {' '.join(roles)} <<'END'\n{STATE}\nEND"))
    for name in MADE_HERE:
        reported[name][3] = "a content of its own"
    return reported


def not_restored(deployment: Deployment, server: Server, roles: list[str], turn: int) -> list[str]:
    """What one `provision` does not bring back to its first content, mode, owner and state, of one change of each thing."""
    before, looks = state(server, roles), Looks(deployment)
    changed = at_once(every_change(server, roles), turn)
    server.sh("\n".join(f"( {change.do} ) >/dev/null 2>&1" for change in changed), check=False)
    assert len(looks.drift()) > len(changed) / 2
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    after = state(server, roles)
    assert planned(deployment, server) == {}
    return [f"{name}: {was} -> {after.get(name)}" for name, was in before.items() if after.get(name) != was]


def unrecorded(server: Server, roles: list[str]) -> list[str]:
    """Files that no package owns, that are younger than the server, and that no record has."""
    things = [recorded(server, role) for role in roles]
    known = {path for one in things for path in [*one.get("files", {}), *one.get("large_files", {})]}
    found = server.sh(
        "find /etc /usr/local /var/lib/deepgram -xdev -type f -newer /etc/machine-id | sort > /tmp/young; "
        "cat /var/lib/dpkg/info/*.list | sort -u > /tmp/owned; comm -23 /tmp/young /tmp/owned"
    ).split()
    return [path for path in found if path not in known and not path.startswith(OTHERS)]
