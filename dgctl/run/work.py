"""What the verbs work on: a session's deployment, read, valid, and recorded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from dgctl.base.display import printable
from dgctl.base.errors import DgctlError, Exit
from dgctl.deployment import deployment as deployments
from dgctl.deployment import images, models, vault
from dgctl.deployment.deployment import Deployment
from dgctl.output import progress
from dgctl.output.progress import Progress
from dgctl.run import history
from dgctl.run.session import Session
from dgctl.validation import require_valid, secrets


@dataclass
class Work:
    """A valid deployment, ready to be run on."""

    session: Session
    deployment: Deployment
    vault: vault.VaultOptions

    @property
    def log(self) -> str:
        return str(self.session.record.log_path)

    def lowered(self) -> list[dict[str, Any]]:
        return deployments.lowered(self.deployment)

    def tell(self, text: str) -> None:
        """A line on stderr, for what is larger than a phase."""
        print(f"{progress.clock(self.session.seconds):>7}  {printable(text)}", file=sys.stderr, flush=True)

    def require_lease(self) -> None:
        """Raises DgctlError (exit 9) where another run took this one's lease on the servers."""
        if self.session.lease and self.session.lease.lost:
            raise DgctlError(self.session.lease.lost, Exit.LOCKED)

    def record(self) -> None:
        """Opens the run record; from now on nothing that is logged holds a secret."""
        redact = history.Redactor(secrets.values(self.deployment))
        self.session.record = history.Record(self.session.inventory, self.session.command, redact)

    def progress(self, phases: list[str], hosts: list[str] | None = None) -> AbstractContextManager[Progress]:
        """What shows how far `hosts` (all targets, unless given) are in `phases`."""
        session = self.session
        return progress.shown(hosts or self.deployment.targets, phases, session.verbosity > 0, session.started)


@contextmanager
def valid(session: Session) -> Iterator[Work]:
    """Reads and validates the deployment; raises DgctlError with every problem."""
    options = (session.vault_password_file, session.vault_id, session.ask_vault_pass)
    with vault.opened(session.inventory, *options) as passwords:
        deployment = deployments.load(session.inventory, passwords, session.limit)
        require_valid(deployment)
        images.read(session.inventory)
        models.read(session.inventory)
        yield Work(session, deployment, passwords)


@contextmanager
def recorded(session: Session) -> Iterator[Work]:
    """The same, with a run record open."""
    with valid(session) as work:
        work.record()
        yield work
