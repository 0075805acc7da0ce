"""The command line: one short function a verb. Everything heavy is imported when a verb runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dgctl import __version__

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
OPTIONS = (
    click.option("--limit", metavar="PATTERN", help="Only these hosts, as ansible-playbook's --limit."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    click.option("-v", "verbosity", count=True, help="Ansible's output too, on stderr; -vv for more."),
    click.option("--vault-password-file", "--vault-pass-file", multiple=True, metavar="FILE",
                 help="Vault password file. `.vault_pass` beside the inventory is used without this."),
    click.option("--vault-id", multiple=True, metavar="LABEL@SOURCE", help="Vault identity."),
    click.option("-J", "--ask-vault-pass", "--ask-vault-password", is_flag=True, help="Ask for it."),
)  # fmt: skip
CHECK = click.option("-C", "--check", is_flag=True, help="Change nothing; say what would change.")
FULL = click.option("--full", is_flag=True, help="Run every role on every server, also where nothing is to be done.")
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the plan to FILE, for `provision --plan FILE`.",
)
PLAN = click.option(
    "--plan",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Do at most what this plan says; refuse if more is to be done by now.",
)
YES = click.option("-y", "--yes", is_flag=True, help="Do not ask before changing servers.")


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="dgctl")
def main() -> None:
    """Turns GPU servers that have Linux and SSH into a working Deepgram deployment, and keeps it working.

    Start with `dgctl init DIR`.

    Exit codes: 0 done; 1 bug in dgctl; 2 wrong usage; 3 invalid inventory or variables; 4 preflight failed;
    5 some hosts failed within the budget; 6 run halted by a failed host; 7 hosts unreachable, nothing else
    wrong; 8 verification failed; 9 another run holds the lock; 10 changes are pending; 130 interrupted.
    """


def verb(*extra: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A verb on a deployment: INVENTORY, the common options, and `extra` ones."""

    def wrap(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def call(inventory: str, **options: Any) -> None:
            from dgctl.session import Session
            from dgctl.session import main as frame

            session = Session(function.__name__, Path(inventory), **options)
            raise SystemExit(frame(session, function()))

        for option in reversed((click.argument("inventory"), *OPTIONS, *extra)):
            call = option(call)
        return main.command(name=function.__name__)(call)

    return wrap


@main.command()
@click.argument("directory", metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def init(directory: str, as_json: bool) -> None:
    """Write a new deployment into DIR: an inventory, its settings, its secrets."""
    from dgctl.init import write
    from dgctl.session import Session
    from dgctl.session import main as frame

    session = Session("init", Path(directory), as_json=as_json)
    raise SystemExit(frame(session, write))


@verb()
def validate() -> Any:
    """Check the inventory and all variables, without touching a server."""
    from dgctl import verbs

    return verbs.validate


@verb()
def preflight() -> Any:
    """Check that every server can become what the inventory says, without changing it."""
    from dgctl import verbs

    return verbs.preflight


@verb(OUT, FULL)
def plan() -> Any:
    """Look at every server, and say what `provision` would do there and why. Changes nothing.

    Exit code 10 when something would change. -v shows what files would become.
    """
    from dgctl import verbs

    return verbs.plan


@verb(CHECK, YES, FULL, PLAN)
def provision() -> Any:
    """Make the servers match the inventory, then verify them.

    Looks first, shows the plan and asks. Servers that are right take no part; on others only the roles run that
    are not right, and those that follow them.
    """
    from dgctl import verbs

    return verbs.provision


@verb()
def verify() -> Any:
    """Prove that every server works: driver, GPU in the container, models, TLS, a real transcript."""
    from dgctl import verbs

    return verbs.verify


@verb()
def status() -> Any:
    """Show what runs on every server."""
    from dgctl import verbs

    return verbs.status
