"""How verify reaches a server: with the SSH options that Ansible itself would use, over one connection a
host.

testinfra's own ansible:// connection is not used, because it puts a password into `sshpass -p PASSWORD`,
knows no become password, makes a new connection for each command (ControlPersist without a ControlPath),
reads variables untemplated, and runs ansible-inventory once more in each worker.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from dgctl.base import limited, ssh
from dgctl.base.ssh import Route

# A driver in trouble hangs its tools for ever: no command may hold up the whole run.
COMMAND_LIMIT_S = 120


class Unreachable(Exception):
    """The command never ran: SSH did not get there. The text is what ssh said."""


@dataclass(frozen=True)
class Other:
    """A host beside the one that a check is about, with its part of the plan. Asking `host` may raise Unreachable."""

    name: str
    planned: dict[str, Any]
    host: Host


class Connection(BaseBackend):
    """A testinfra backend: runs shell commands as root on one host.

    The shared connection is this run's own: one that an earlier run left open would say that a host is reachable
    which no longer lets anyone in.
    """

    NAME = "dgctl"

    def __init__(self, name: str, way: Route, secrets: dict[str, str], askpass: str = ""):
        super().__init__(name)
        self.way, self.secrets, self.askpass = way, secrets, askpass
        self.commands = 0

    def run(self, command: str, *args: str, stdin: str = "", **_: Any) -> CommandResult:
        """Runs `command` in /bin/sh, with `stdin` to read; exit status 124 when it took too long. Raises Unreachable."""
        if self.way.problem:
            raise Unreachable(self.way.problem)
        self.commands += 1
        done = self._execute(self.way.command(["/bin/sh", "-c", self.quote(command, *args)]), stdin)
        if self.way.login and done.returncode == 255:
            raise Unreachable(ssh.last_words(done.stderr) or "ssh gave up without a word (exit status 255)")
        return self.result(done.returncode, command.encode(), done.stdout, done.stderr)

    def close(self) -> None:
        """Ends the shared connection."""
        if self.commands and self.way.login:
            words = ssh.with_options(self.way.login, "-O", "exit")
            subprocess.run(words, capture_output=True, timeout=10, check=False)

    def _execute(self, words: list[str], text: str = "") -> subprocess.CompletedProcess[bytes]:
        # sudo reads the password from here, and leaves the rest to the command.
        stdin = (f"{self.secrets['become']}\n" if "become" in self.secrets else "") + text
        try:
            return limited.run(words, stdin.encode(), COMMAND_LIMIT_S, ssh.environment(self.secrets, self.askpass))
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 124, b"", b"no answer within %d s" % COMMAND_LIMIT_S)
