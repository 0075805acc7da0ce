"""A person's yes before servers are changed."""

from __future__ import annotations

import sys

from dgctl.base.display import printable
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.run.session import Session


def require_person(session: Session, fix: str = "add --yes") -> None:
    """Raises DgctlError (exit 2) where nobody can be asked, and --yes was not said."""
    if not session.options.yes and not sys.stdin.isatty():
        raise DgctlError(Problem("nobody is here to confirm", "stdin is not a terminal", fix=fix), Exit.USAGE)


def confirm(session: Session, lines: list[str], question: str) -> None:
    """Shows `lines`, and asks; raises DgctlError (exit 130) for a no. With --yes neither."""
    import click

    if session.options.yes:
        return
    require_person(session)
    for line in lines:
        click.echo(printable(line), err=True)
    if not click.confirm(printable(question), err=True):
        raise DgctlError(Problem("not confirmed: nothing was touched", fix="answer y, or add --yes"), Exit.INTERRUPTED)
