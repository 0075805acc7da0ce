"""One run at a time on the servers, wherever it was started: a lease on them, beside the lock on this folder.

It lies on every proxy, because a proxy's drained servers are what all runs must agree on. Without proxies it lies on the Engines
and License Proxies, which stand in for each other, and on the servers of the run. Servers that do not answer hold no run up.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dgctl.base import lock, scratch, ssh
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.deployment.deployment import PROXIES, Deployment, Host
from dgctl.plan.look import PARALLEL, Asker
from dgctl.run import history
from dgctl.run.session import Session
from dgctl.run.work import Work

ENTRY = "look.lease"
TTL_S = 180  # as look/lease.py has it
RENEW_S = TTL_S / 4
LEFT = "it ends with that run, and three minutes after it was last heard of"


@contextmanager
def alone(work: Work) -> Iterator[None]:
    """Both: the lock on this folder, and the lease on the servers."""
    with locked(work), held(work):
        yield


@contextmanager
def locked(work: Work) -> Iterator[None]:
    """This folder's lock alone."""
    with lock.held(history.folder(work.session.inventory), lock.this_command()):
        yield


@contextmanager
def held(work: Work, seen: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[None]:
    """Holds the lease for the time of the block. Raises DgctlError (exit 9) naming the holder when another run has it.

    `seen`: what a look found of it; then a run that had it since, so that what was planned is no longer so, is a refusal too.
    """
    hosts = [work.deployment.hosts[name] for name in servers(work.deployment)]
    with scratch.folder("lease") as folder:
        lease = Lease(work.session, hosts, ssh.write_askpass(folder))
        try:
            lease.take(seen or {})
            work.session.lease = lease
            lease.keep()
            yield
        finally:
            work.session.lease = None
            lease.give_back()


def require_free(work: Work, seen: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises DgctlError (exit 9) where a look saw that another clone's run has the lease."""
    own = owner(history.folder(work.session.inventory))
    for name in servers(work.deployment):
        found = seen.get(name) or {}
        if _holds(found) and found.get("owner") != own and not work.session.options.break_lock:
            raise DgctlError(_busy(work.session, name, found.get("holder")), Exit.LOCKED)


def _holds(found: Mapping[str, Any]) -> bool:
    """Whether the lease that a look saw held then, by the server's own clock."""
    until, now = found.get("until"), found.get("time")
    return isinstance(until, int | float) and isinstance(now, int | float) and 0 < until - now <= TTL_S


def servers(deployment: Deployment) -> list[str]:
    """Where the lease lies, in an order that is the same for every run."""
    stand_ins = deployment.members("engine", "license_proxy", "billing")
    return sorted(deployment.members(PROXIES) or {*stand_ins, *deployment.targets})


def owner(folder: Path) -> str:
    """The number of this clone: its own folder, on this machine. A copy of the folder is another clone."""
    path = folder / "clone"
    try:
        number = path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        number = ""
    if not number:
        number = uuid.uuid4().hex
        path.write_text(f"{number}\n", encoding="ascii")
    return hashlib.sha256(f"{number} {socket.gethostname()} {folder}".encode()).hexdigest()[:32]


class Lease:
    """A run's lease on servers. `lost`: why it is this run's no more, once that is known."""

    def __init__(self, session: Session, hosts: list[Host], askpass: str):
        self.session = session
        self.lost: Problem | None = None
        self.on: list[Host] = []
        self._asker = Asker(hosts, askpass, ENTRY)
        self._hosts = hosts
        own = owner(history.folder(session.inventory))
        self._run = {"run": uuid.uuid4().hex, "owner": own, "holder": lock.holder()}
        self._ended = threading.Event()
        self._renewing: threading.Thread | None = None

    def take(self, seen: Mapping[str, Mapping[str, Any]]) -> None:
        """On the first server alone, so that of two runs at the same moment one gets it; then on the others at once."""
        for hosts in (self._hosts[:1], self._hosts[1:]):
            for host, answer in self._asked(hosts, "take", seen):
                if answer.get("taken"):
                    self.on.append(host)
                elif answer:
                    raise DgctlError(self._refused(host.name, answer), Exit.LOCKED)

    def keep(self) -> None:
        """Renews it from now on."""
        self._renewing = threading.Thread(target=self._renew, daemon=True)
        self._renewing.start()

    def give_back(self) -> None:
        self._ended.set()
        if self._renewing:
            self._renewing.join()
        for _ in self._asked(self.on, "release", {}):
            pass

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            for host, answer in self._asked(self.on, "renew", {}):
                if answer.get("lost") and not self.lost:
                    what = "another run took this one's lease on the servers, so it stopped"
                    fix = "see what the other run did, then run again"
                    self.lost = Problem(what, host.name, _who(answer.get("holder")), fix)

    def _asked(
        self, hosts: list[Host], mode: str, seen: Mapping[str, Mapping[str, Any]]
    ) -> list[tuple[Host, dict[str, Any]]]:
        """(server, its answer, empty for none)."""

        def one(host: Host) -> tuple[Host, dict[str, Any]]:
            found = seen.get(host.name)
            last = str(found.get("run", "")) if found else None
            more = {**self._run, "last": last, "force": self.session.options.break_lock}
            return host, self._asker.ask(host, mode, **more)[1].lease

        with ThreadPoolExecutor(PARALLEL) as pool:
            return list(pool.map(one, hosts))

    def _refused(self, name: str, answer: Mapping[str, Any]) -> Problem:
        if answer.get("moved"):
            what = "another run has worked on these servers since this one inspected them; nothing was changed"
            return Problem(what, name, fix=f"run it again: {self.session.again()}")
        return _busy(self.session, name, answer.get("holder"))


def _busy(session: Session, name: str, holder: object) -> Problem:
    fix = f"wait: {LEFT}; if that run is dead: {session.again()} --break-lock"
    return Problem("another run works on these servers", name, _who(holder), fix)


def _who(holder: object) -> str:
    reported = holder if isinstance(holder, dict) else {}
    return lock.reported(reported) if reported else ""
