"""A verb's session as the command line makes it."""

from pathlib import Path
from typing import Any

from dgctl import cli
from dgctl.run.session import Session


def called(verb: str, inventory: Path | str = "inventory.ini", **options: Any) -> Session:
    """`verb`: its name; `options`: by the names of Session's fields."""
    return Session(verb, Path(inventory), **options, commands=cli.main.commands)
