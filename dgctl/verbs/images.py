"""`images`: pulled ahead, or pins updated; or, where servers reach no registry, as one file, taken from the registry here."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dgctl import content
from dgctl.base import given
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.words import count
from dgctl.deployment import images as lock
from dgctl.deployment.deployment import Host
from dgctl.export import archive
from dgctl.export.archive import Image
from dgctl.export.registry import Repository
from dgctl.output.report import Outcome
from dgctl.run import lease, outcomes, playbook
from dgctl.run import options as common
from dgctl.run.session import Session
from dgctl.run.work import Work, recorded, valid

PLAYBOOK, LOAD = "images_load.yml", "Load"
UNUSABLE, UNWRITTEN = "no image can be taken from this file", "the images cannot be written"


@dataclass(frozen=True, kw_only=True)
class Options(common.Options):
    action: str = ""
    file: str = ""
    to: str = ""
    release: str = ""
    arch: str = "amd64"
    each: bool = False
    port: int = 9813


def images(session: Session[Options]) -> Outcome:
    return {"pull": pull, "save": save, "load": load, "update": update}[session.options.action](session)


def pull(session: Session[Options]) -> Outcome:
    """Has the servers pull, while they serve, what they are to run: no container is touched, nothing recorded."""
    with recorded(session) as work:
        names = [host.name for host in _hosts(work)]
        plays = {play: names if play == LOAD else [] for play in playbook.phases(PLAYBOOK)}
        with lease.alone(work):
            part = playbook.Part(names, plays, variables=_release(session))
            outcome = outcomes.of_playbook(work, PLAYBOOK, alone=True, part=part)
    return outcome


def _release(session: Session[Options]) -> dict[str, str]:
    """The variable with another release than the inventory's, where one was named."""
    return {"deepgram_release": session.options.release} if session.options.release else {}


def save(session: Session[Options]) -> Outcome:
    """Takes the images from the registry into the file; what a tag leads to now is pinned in images.lock."""
    file, options = Path(session.options.to), session.options
    given.require_place(file, UNWRITTEN)
    with valid(session) as work:
        desired = _desired(work)
        with given.refused(UNWRITTEN, file, "make room there, or name another file"):
            found = archive.save(file, desired, options.arch, work.tell)
        hints = _moved(work, desired)
        lock.add(work.deployment.inventory, {each.name: found[each.name] for each in desired if not each.digest})
    text = [f"{name}@{digest}" for name, digest in sorted(found.items())]
    size = f"{file.stat().st_size / 1e6:,.1f} MB"
    summary = f"{count(len(found), 'image')} for {options.arch} in {shown(file)}, {size}"
    return Outcome(images=_rows(found), text=text, hints=hints, summary=summary, next_command=_next(session, "load"))


def update(session: Session[Options]) -> Outcome:
    """Has images.lock pin what the tags lead to now; no server is touched."""
    with valid(session) as work:
        inventory = work.deployment.inventory
        before, now = lock.read(inventory), {}
        for name, (user, password) in _tagged(work).items():
            known = _digests(name, user, password)
            now[name] = before[name] if before.get(name) in known else known[0]
        lock.put(inventory, now)
    changed = [name for name, digest in now.items() if before.get(name) != digest]
    text = [f"{name} {before.get(name, 'unpinned')} -> {now[name]}" for name in sorted(changed)]
    summary = f"{lock.FILE}: {len(changed)} of {count(len(now), 'image')} updated" if now else "the inventory pins all"
    following = f"{session.again('provision')} --full" if changed and not session.options.release else ""
    return Outcome(images=_rows(now), text=text, summary=summary, next_command=following)


def _tagged(work: Work) -> dict[str, tuple[str, str]]:
    """REPOSITORY:RELEASE of the targets' images that no variable pins -> the account at its registry."""
    return {
        name: _account(host)
        for host in _hosts(work)
        for part, name in lock.names(host, work.session.options.release).items()
        if part in host.parts and not lock.given(host, part)
    }


def _digests(name: str, user: str, password: str) -> list[str]:
    """What a tag leads to now: the digest of its manifest, and of those that this leads to."""
    repository, _, release = name.rpartition(":")
    manifest = Repository(repository, user, password).manifest(release)
    found: list[str] = content.utility("containers.registry").digests(manifest.data)
    return found


def _moved(work: Work, desired: Iterable[Image]) -> list[Problem]:
    """A hint for each pinned image whose tag leads to another one by now; none where the registry has no such tag any more."""
    rows = []
    for each in desired:
        with contextlib.suppress(DgctlError):
            known = _digests(each.name, each.user, each.password) if each.digest else [each.digest]
            rows += [{"name": each.name, "pinned": each.digest, "now": known[0]}] if each.digest not in known else []
    return lock.moved(work.deployment.inventory, rows, work.session.options.release)


def _rows(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "digest": digest} for name, digest in sorted(found.items())]


def _desired(work: Work) -> list[Image]:
    """The images of all targets, each once; raises DgctlError (exit 3) where there is none, or servers differ on one."""
    found: dict[str, tuple[str, Host]] = {}
    problems = []
    for host in _hosts(work):
        for name, digest in lock.needed(work.deployment.inventory, host, work.session.options.release).items():
            before, first = found.setdefault(name, (digest, host))
            if before != digest:
                what = (
                    f"{first.name} and {host.name} are to run different images of one release: save one file for each"
                )
                problems.append(Problem(what, name, digest or "the release's", f"add --limit {host.name}"))
    if problems:
        raise DgctlError(problems, Exit.INVALID)
    return [Image(name, digest, *_account(host)) for name, (digest, host) in sorted(found.items())]


def _account(host: Host) -> tuple[str, str]:
    user, password = (host.vars.get(f"deepgram_registry_{part}") or "" for part in ("username", "password"))
    return str(user), str(password)


def _hosts(work: Work) -> list[Host]:
    """The targets that run containers of Deepgram's; raises DgctlError (exit 3) without any."""
    every = [work.deployment.hosts[name] for name in work.deployment.targets]
    if not (found := [host for host in every if host.parts]):
        fix = "add a server to [node], [api], [engine], [license_proxy] or [billing]"
        problem = Problem("no server here runs Deepgram's images", shown(work.deployment.inventory), fix=fix)
        raise DgctlError(problem, Exit.INVALID)
    return found


def load(session: Session[Options]) -> Outcome:
    """Checks the file as a whole, then brings it to the servers: to one from here, to the others from that one."""
    file = Path(session.options.file)
    held = _opened(file)
    with recorded(session) as work:
        hosts = _hosts(work)
        if problems := list(_unfit(work, hosts, held)):
            raise DgctlError(problems, Exit.USAGE)
        _check(held, file)
        with lease.alone(work):
            return _brought(work, file, hosts, held)


def _opened(file: Path) -> archive.Any:
    given.require_file(file, UNUSABLE, "name the file that `dgctl images save INVENTORY --to FILE` wrote")
    try:
        return archive.shape().Archive(str(file))
    except archive.shape().Unusable as error:
        raise _unusable(file, error) from None


def _check(held: archive.Any, file: Path) -> None:
    try:
        held.check()
    except archive.shape().Unusable as error:
        raise _unusable(file, error) from None


def _unusable(file: Path, error: archive.Any) -> DgctlError:
    return DgctlError(Problem(f"{UNUSABLE}: {error}", shown(file), fix=error.fix), Exit.USAGE)


def _unfit(work: Work, hosts: Iterable[Host], held: archive.Any) -> Iterable[Problem]:
    """What servers need and the archive has not, or has as another image."""
    file, session = Path(work.session.options.file), work.session
    for host in hosts:
        for name, digest in lock.needed(work.deployment.inventory, host, session.options.release).items():
            place = f"{shown(file)} for {host.name}"
            if name not in held.images:
                there = ", ".join(sorted({each.rpartition(":")[2] for each in held.images})) or "nothing"
                fix = f"{_next(session, 'save')}; or name the release that is meant: --release"
                yield Problem(f"the archive lacks {name}: it has {there}", place, fix=fix)
            elif digest and held.images[name] != digest:
                what = f"the archive has another image as {name}, and {lock.FILE} or a variable pins {digest}"
                fix = f"{_next(session, 'save')}; or delete its line of {lock.FILE}, if the archive's is the one to run"
                yield Problem(what, place, held.images[name], fix)


def _brought(work: Work, file: Path, hosts: list[Host], held: archive.Any) -> Outcome:
    names = [host.name for host in hosts]
    variables = {
        "images_file": str(file.absolute()),
        "images_sha256": archive.shape().sha256_of_file(str(file)),
        "images_size": file.stat().st_size,
        "images_architecture": held.architecture,
        "images_each": work.session.options.each,
        "images_port": work.session.options.port,
        "images_needed": _rooms(work, hosts, held),
        **_release(work.session),
    }
    needed = [lock.needed(work.deployment.inventory, host, work.session.options.release) for host in hosts]
    new = {name: held.images[name] for one in needed for name, digest in one.items() if not digest}
    lock.add(work.deployment.inventory, new)
    plays = {play: names for play in playbook.phases(PLAYBOOK)}
    outcome = outcomes.of_playbook(work, PLAYBOOK, alone=True, part=playbook.Part(names, plays, variables=variables))
    outcome.images = _rows(held.images)
    if outcome.exit_code == Exit.OK:
        outcome.summary += f"; {file.name} ({file.stat().st_size / 1e6:,.1f} MB) is on all of them"
        outcome.next_command = work.session.again("provision")
    return outcome


def _rooms(work: Work, hosts: Iterable[Host], held: archive.Any) -> dict[str, list[dict[str, object]]]:
    """Host -> its images, each with the bytes that it takes in the container engine's store."""
    found = {}
    for host in hosts:
        names = sorted(lock.needed(work.deployment.inventory, host, work.session.options.release))
        rooms = held.room([held.images[name] for name in names])
        found[host.name] = [
            {"repository": name.rpartition(":")[0], "digest": held.images[name], "bytes": size}
            for name, size in zip(names, rooms, strict=True)
        ]
    return found


def _next(session: Session[Options], action: str) -> str:
    options = session.options
    file = options.file or options.to
    words = ["dgctl", "images", action, str(session.inventory), *(["--to"] if action == "save" else []), file]
    return shlex.join([*words, *(["--release", options.release] if options.release else [])])
