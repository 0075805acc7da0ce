"""Lock files beside the inventory: what the first server got under a name, given to every server since."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.deployment.inventory_edit import write


@dataclass(frozen=True)
class LockFile:
    """`row`: how a line is written, with {name} and {pin}; `line`: a pattern with the same groups, `form` in words.

    `wrong`: what is said of a line of another form.
    """

    file: str
    header: str
    row: str
    line: re.Pattern[str]
    wrong: str
    form: str

    def path(self, inventory: Path) -> Path:
        return inventory.absolute().parent / self.file

    def read(self, inventory: Path) -> dict[str, str]:
        """Name -> pin. Raises DgctlError (exit 3) with every line that is none."""
        file, found, problems = self.path(inventory), {}, []
        if not file.is_file():
            return found
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            match = self.line.fullmatch(line.strip())
            if match:
                found[match["name"]] = match["pin"]
            elif line.strip() and not line.startswith("#"):
                fix = f"write {self.form}, or delete the line: the next provision writes it"
                problems.append(Problem(self.wrong, f"{shown(file)}:{number}", line.strip(), fix))
        if problems:
            raise DgctlError(problems, Exit.INVALID)
        return found

    def holds(self, name: str, pin: object) -> bool:
        """Whether the two make a line: servers say them."""
        return self.line.fullmatch(self.row.format(name=name, pin=pin)) is not None

    def add(self, inventory: Path, new: Mapping[str, object]) -> None:
        """Adds what the file says nothing of yet."""
        self.put(inventory, {**new, **self.read(inventory)})

    def put(self, inventory: Path, new: Mapping[str, object]) -> None:
        """Adds, and replaces what the file says otherwise."""
        known = self.read(inventory)
        if {**known, **new} != known:
            lines = [f"{self.row.format(name=name, pin=pin)}\n" for name, pin in sorted({**known, **new}.items())]
            file = self.path(inventory)
            file.touch(mode=0o644)
            write(file, self.header + "".join(lines))
