"""`journal`: fetches the usage journals of all servers with Billing, to be handed to Deepgram."""

from __future__ import annotations

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.base.words import count
from dgctl.deployment.deployment import Deployment
from dgctl.output.report import HostState, Outcome
from dgctl.run import journals
from dgctl.run.journals import Journal
from dgctl.run.session import Session
from dgctl.run.work import valid

FAILED = "failed"


def journal(session: Session) -> Outcome:
    with valid(session) as work:
        names = with_billing(work.deployment)
        folder = session.inventory.absolute().parent / journals.FOLDER
        found = journals.fetch([work.deployment.hosts[name] for name in names], folder)
        return outcome_of(session, found)


def with_billing(deployment: Deployment) -> list[str]:
    """The targets with Billing; raises DgctlError (exit 2) where there is none."""
    names = [name for name in deployment.members("billing") if name in deployment.targets]
    if not names:
        fix = "there is a journal behind an air gap alone: docs/air-gap.md"
        what = "no server of this deployment, or of --limit, is in [billing]"
        raise DgctlError(Problem(what, shown(deployment.inventory), fix=fix), Exit.USAGE)
    return names


def outcome_of(session: Session, found: dict[str, Journal | Problem]) -> Outcome:
    outcome = Outcome(hosts={})
    for name, one in found.items():
        if isinstance(one, Problem):
            outcome.hosts[name] = HostState(FAILED, errors=[one])
            outcome.errors.append(one)
            continue
        path = shown(one.path)
        outcome.hosts[name] = HostState()
        outcome.journals.append({"host": name, "path": path, "files": one.files, "bytes": one.bytes})
        outcome.text.append(f"{name}  {path}  {count(one.files, 'file')}, {count(one.bytes, 'byte')}")
    fetched = len(found) - len(outcome.errors)
    outcome.exit_code = Exit.SOME_FAILED if outcome.errors else Exit.OK
    outcome.summary = (
        f"{fetched} of {count(len(found), 'journal')} fetched: hand them to Deepgram, and keep them until then"
    )
    outcome.next_command = session.again("journal") if outcome.errors else ""
    return outcome
