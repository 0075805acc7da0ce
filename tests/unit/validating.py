"""The problems of the deployment in the folder where a test runs."""

from __future__ import annotations

from pathlib import Path

from dgctl import validation
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.deployment import deployment, vault
from dgctl.deployment.deployment import Deployment

MAIN = "group_vars/all/main.yml"


def read() -> Deployment:
    """The deployment in this folder."""
    with vault.opened(Path("inventory.ini"), (), (), False) as passwords:
        return deployment.load(Path("inventory.ini"), passwords, None)


def problems(inventory: str = "inventory.ini") -> list[Problem]:
    """Every problem of the deployment in this folder, those that stop it from loading too."""
    path = Path(inventory)
    try:
        with vault.opened(path, (), (), False) as passwords:
            return validation.problems(deployment.load(path, passwords))
    except DgctlError as error:
        assert error.exit_code == Exit.INVALID
        return error.problems


def problems_with(*settings: str) -> list[Problem]:
    """The same with these lines at the end of its main file."""
    add("".join(f"{line}\n" for line in settings))
    return problems()


def only(inventory: str = "inventory.ini") -> Problem:
    found = problems(inventory)
    assert len(found) == 1, found
    return found[0]


def set_variable(text: str) -> None:
    add(text + "\n")


def add(text: str, path: str = MAIN) -> None:
    """Appends settings to a file of the deployment."""
    with Path(path).open("a") as file:
        file.write(text)
