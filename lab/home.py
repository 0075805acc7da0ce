"""Where the lab keeps what it made, and the names of what it runs."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.shell import LabError, say

DEFAULT = Path("/var/lib/dgctl-lab")
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Home:
    """State directory of the labs on this machine; another directory means other containers and another network."""

    path: Path

    @property
    def suffix(self) -> str:
        """Empty for the usual directory, else a dash and six letters made from the path."""
        if self.path == DEFAULT:
            return ""
        return "-" + hashlib.sha256(str(self.path).encode()).hexdigest()[:6]

    @property
    def network(self) -> str:
        return f"dgctl-lab{self.suffix}"

    @property
    def services(self) -> str:
        return f"dgctl-lab-services{self.suffix}"

    def directory(self, *parts: str, mode: int = 0o755) -> Path:
        """A sub-directory, made when absent."""
        path = self.path.joinpath(*parts)
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        return path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One `up` or `down` at a time on this machine; waits for the other one."""
        with (self.directory() / "lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another bin/lab is at work on this machine; waiting for it.")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def find() -> Home:
    """The home that DGCTL_LAB_HOME names, or the usual one; LabError without root, which containers need."""
    if os.geteuid() != 0:
        raise LabError("The lab starts containers and needs root.", "Run it with sudo, or as root.")
    return Home(Path(os.environ.get("DGCTL_LAB_HOME", DEFAULT)).resolve())
