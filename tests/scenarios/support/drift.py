"""Every way in which a recorded thing can be changed by hand, and the way back: what a look must find, one by one."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

STATUS = "/var/lib/dpkg/status"  # each change there is of one package's lines
KEPT = "/root/kept-by-the-drift-test"
# Whose the models are that somebody brought, the role does not say: it names the change and fails.
MODELS = "/var/lib/deepgram/models"
# Somebody else may have a part in these: what is in them besides, the role leaves.
SHARED = (
    *("/etc/docker/daemon.json", "/etc/nginx/nginx.conf"),
    "/etc/nvidia-container-toolkit/nvidia-cdi-refresh.env",
)


@dataclass(frozen=True)
class Change:
    """`thing`: how the look must name what `do` changed; `undo` makes it right again, `repairable`: provision does too."""

    role: str
    thing: str
    do: str
    undo: str
    repairable: bool = True
    kind: str = ""

    @property
    def places(self) -> set[str]:
        """What else must not be changed at the same time: its paths."""
        words = shlex.split(self.do.replace(";", " "))
        return {word for word in words if word.startswith("/") and word not in (KEPT, STATUS, "/nowhere")}

    def __str__(self) -> str:
        return f"{self.role}: {self.thing}: {self.do.splitlines()[-1][-60:]}"


def changes(role: str, things: dict[str, Any]) -> Iterator[Change]:
    """The changes to everything in one role's record; a kind that nobody thought of is a KeyError."""
    for kind, recorded in things.items():
        for way in KINDS[kind](recorded):
            yield Change(role, *way, kind=kind)


def at_once(found: list[Change], turn: int = 0) -> list[Change]:
    """One change of each thing that provision can repair, of every sort in turn: all of them can be done together."""
    ways: dict[tuple[str, str], list[Change]] = {}
    for change in found:
        if change.repairable:
            ways.setdefault((change.role, change.thing), []).append(change)
    return [several[(number + turn) % len(several)] for number, several in enumerate(ways.values())]


def apart(change: Change) -> str:
    """A stopped unit takes others along, and nvidia-smi answers for no driver of which anything else is changed."""
    if change.kind == "driver" or (change.kind == "units" and "docker.service" in change.do):
        return str(change)  # a container that its engine has just started again does not hear that it is to stop
    return change.kind if change.kind in ("units", "tls") else ""  # tls: NGINX reads all of its files again


def rounds(found: Iterable[Change]) -> list[list[Change]]:
    """All changes in few lots: in a lot no two of a thing or path; what others stand on is changed apart from them."""
    lots: list[list[Change]] = []
    for change in found:
        for lot in lots:
            same = any(
                (one.role, one.thing) == (change.role, change.thing) or one.places & change.places for one in lot
            )
            if not same and apart(lot[0]) == apart(change):
                lot.append(change)
                break
        else:
            lots.append([change])
    return lots


Way = tuple[str, str, str] | tuple[str, str, str, bool]


def _retained(path: str) -> str:
    return f"{KEPT}/{shlex.quote(path.replace('/', '!'))}"


def _keep(path: str) -> str:
    return f"mkdir -p {KEPT} && rm -rf {_retained(path)} && cp -a {shlex.quote(path)} {_retained(path)} && "


def _put_back(path: str) -> str:
    return f"rm -rf {shlex.quote(path)} && cp -a {_retained(path)} {shlex.quote(path)}"


def _files(recorded: dict[str, Any]) -> Iterator[Way]:
    for path, was in recorded.items():
        name, quoted = f"{was['type']} {path}", shlex.quote(path)
        if was["type"] == "directory":
            yield name, f"chmod 0711 {quoted}", f"chmod {was['mode']} {quoted}"
            yield name, f"chown 12 {quoted}", f"chown {was['uid']}:{was['gid']} {quoted}", path != MODELS
            continue
        if was["type"] == "link":
            yield name, _keep(path) + f"ln -sfn /nowhere {quoted}", _put_back(path)
            continue
        yield name, _keep(path) + f"printf x >> {quoted}", _put_back(path), path not in SHARED
        yield name, f"chmod 0601 {quoted}", f"chmod {was['mode']} {quoted}"
        back = f"chown {was['uid']}:{was['gid']} {quoted}; chmod {was['mode']} {quoted}"
        yield name, f"chown 12:34 {quoted}", back, not path.startswith(MODELS)
        yield name, _keep(path) + f"rm {quoted}", _put_back(path)


# What Debian's package puts there is a link; a file of that name is somebody's own site, which the role leaves.
LINKS = {"/etc/nginx/sites-enabled/default": "ln -s /etc/nginx/sites-available/default"}


def _absent(paths: list[str]) -> Iterator[Way]:
    for path in paths:
        quoted = shlex.quote(path)
        yield (
            f"file {path}",
            f"mkdir -p $(dirname {quoted}) && {LINKS.get(path, 'touch')} {quoted}",
            f"rm {quoted}; rmdir --ignore-fail-on-non-empty $(dirname {quoted})",
        )


def _large_files(recorded: dict[str, Any]) -> Iterator[Way]:
    for path, was in recorded.items():
        yield f"file {path}", _keep(path) + f"printf x >> {path}", _put_back(path)
        yield f"file {path}", _keep(path) + f"touch {path}", f"touch -r {_retained(path)} {path}"
        yield f"file {path}", _keep(path) + f"rm {path}", _put_back(path)
        yield f"file {path}", f"chmod 0601 {path}", f"chmod {was['mode']} {path}"
        yield (
            f"file {path}",
            f"chown 12:34 {path}",
            f"chown {was['uid']}:{was['gid']} {path}; chmod {was['mode']} {path}",
            False,
        )


def _packages(recorded: dict[str, Any]) -> Iterator[Way]:
    edit = "sed -i '/^Package: {}$/,/^$/ s/^{}: .*/{}: {}/' " + STATUS
    for name, was in recorded.items():
        if was["held"]:  # not apt-mark, which reads the sources: they may be changed in the same lot
            yield f"package {name}", *(f"echo {name} {wish} | dpkg --set-selections" for wish in ("install", "hold"))
        # apt itself refuses to work with a database that is at odds with itself, as these leave it.
        status = f"{'hold' if was['held'] else 'install'} ok installed"
        for field, value, before in (
            ("Version", "0.1", was["version"]),
            ("Status", "deinstall ok config-files", status),
        ):
            yield (
                f"package {name}",
                edit.format(name, field, field, value),
                edit.format(name, field, field, before),
                False,
            )


def _units(declared: dict[str, list[str]]) -> Iterator[Way]:
    for unit, states in declared.items():
        if "active" in states:
            yield f"unit {unit}", f"systemctl stop {unit}", f"systemctl start {unit}"
        if "enabled" in states:
            path = f"/etc/systemd/system/{unit}"
            # Some units are enabled by where they lie, and cannot be disabled: those are masked.
            yield (
                f"unit {unit}",
                f"systemctl disable {unit}; systemctl is-enabled -q {unit} && systemctl mask --runtime {unit} || true",
                f"systemctl unmask --runtime {unit}; systemctl enable {unit} || test -e {path}",
            )


def _reads(declared: dict[str, list[str]]) -> Iterator[Way]:
    for unit, paths in declared.items():
        for path in paths:
            yield f"unit {unit}", _keep(path) + f"touch {path}", f"touch -r {_retained(path)} {path}"


def _containers(recorded: dict[str, Any]) -> Iterator[Way]:
    for name, was in recorded["names"].items():
        for path in was["reads"]:
            yield f"container {name}", _keep(path) + f"touch {path}", f"touch -r {_retained(path)} {path}"
        other = f"run -d --name {name} --entrypoint sleep {was['image']} 1000"
        if recorded["engine"] == "docker":
            yield f"container {name}", f"docker stop {name}", f"docker start {name}"
            yield (
                f"container {name}",
                f"docker rm -f {name} && docker {other}",
                f"docker rm -f {name} && docker compose --project-directory /etc/deepgram up -d",
            )
        else:
            yield f"container {name}", f"systemctl stop {name}", f"systemctl start {name}"
            yield (
                f"container {name}",
                f"systemctl stop {name} && podman {other}",
                f"podman rm -f -t 0 {name} && systemctl start {name}",
            )
            yield (
                f"container {name}",
                "podman network rm -f deepgram",
                "systemctl restart deepgram-network && systemctl restart deepgram-engine deepgram-api",
            )


def _driver(recorded: dict[str, Any]) -> Iterator[Way]:
    version = "/sys/module/nvidia/version"
    yield "driver", f"echo 1.2.3 > {version}", f"echo {recorded['module']} > {version}"
    missing = "/run/gone-by-the-drift-test"
    for address in recorded["gpus"]:
        path = f"/proc/driver/nvidia/gpus/{address}"
        yield f"GPU {address}", f"mv {path} {missing}", f"mv {missing} {path}", False
    if recorded["persistence"]:
        yield f"GPU {recorded['gpus'][0]}", "nvidia-smi -pm 0", "nvidia-smi -pm 1"
    # Whose library that is nobody can tell: provision names it, and leaves it to a person.
    link, other = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", "libnvidia-ml.so.9.9"
    back = f"{_put_back(link)} && rm -f {link.removesuffix('libnvidia-ml.so.1')}{other}"
    yield "driver", _keep(link) + f"ln -sfn {other} {link} && touch {link}", back, False


def _answers(urls: list[str]) -> Iterator[Way]:
    for url in urls:
        port = url.rpartition(":")[2].partition("/")[0]
        rule = f"OUTPUT -o lo -p tcp --dport {port} -j REJECT"
        yield f"address {url}", f"iptables -I {rule}", f"iptables -D {rule}", False


def _tls(declared: dict[str, Any]) -> Iterator[Way]:
    path, key = declared["certificate"], "/etc/nginx/tls/deepgram.key"
    other = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout {key} -out {path}"
    )
    yield (
        f"certificate on port {declared['port']}",
        f"{_keep(path)} {_keep(key)} {other} 2>/dev/null && nginx -s reload && "
        f"sleep 1 && {_put_back(path)} && {_put_back(key)}",
        "nginx -s reload && sleep 1",
    )


def _nothing(_recorded: Any) -> Iterator[Way]:
    """A date: its time comes by itself (tests/applied). A report: what is in it is nobody's wish."""
    yield from ()


KINDS = {
    "files": _files,
    "absent": _absent,
    "large_files": _large_files,
    "packages": _packages,
    "units": _units,
    "read_at_start": _reads,
    "read_at_reload": _reads,
    "containers": _containers,
    "driver": _driver,
    "answers": _answers,
    "tls": _tls,
    "until": _nothing,
    "reports": _nothing,
}
