"""A verb's session as the command line makes it."""

import importlib
from pathlib import Path
from typing import Any

from dgctl import cli
from dgctl.run.options import Options
from dgctl.run.session import Session


def called(verb: str, inventory: Path | str = "inventory.ini", **options: Any) -> Session:
    """`verb`: its name; `options`: by the names of Session's fields and of the verb's own Options."""
    own = getattr(importlib.import_module(f"dgctl.verbs.{verb}"), "Options", Options)
    return Session.of(verb, Path(inventory), own, options, cli.main.commands)
