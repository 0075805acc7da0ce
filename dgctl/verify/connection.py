"""How verify reaches a server: with the SSH options that Ansible itself would use, over one connection a
host.

testinfra's own ansible:// connection is not used, because it puts a password into `sshpass -p PASSWORD`,
knows no become password, makes a new connection for each command (ControlPersist without a ControlPath),
reads variables untemplated, and runs ansible-inventory once more in each worker.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult

# A driver in trouble hangs its tools for ever: no command may hold up the whole run.
COMMAND_LIMIT_S = 120


class Unreachable(Exception):
    """The command never ran: SSH did not get there. The text is what ssh said."""


@dataclass(frozen=True)
class Route:
    """The way to a host; nothing here is secret.

    `login` precedes the remote command and is empty for this machine. `problem`: why no way is known, or empty.
    `by_hand`: the command with which a person tries the same.
    """

    address: str
    login: list[str] = field(default_factory=list)
    sudo: list[str] = field(default_factory=list)
    problem: str = ""
    by_hand: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def route(variables: dict[str, Any], address: str, config: Path, socket: Path) -> tuple[Route, dict[str, str]]:
    """The route to a host with these Ansible variables under this ansible.cfg, and the secrets that it needs.

    `socket`: where the shared connection lives. It belongs to this run: one that an earlier run left open would
    say that a host is reachable which no longer lets anyone in.

    Secrets are `password` (SSH), `passphrase` (of the key) and `become` (sudo); absent ones are left out.
    """
    ssh, sudo = (
        _ansible_options("connection", "ssh", variables, config),
        _ansible_options("become", "sudo", variables, config),
    )
    secrets = {
        "password": ssh["password"],
        "passphrase": ssh["private_key_passphrase"],
        "become": sudo["become_pass"],
    }
    secrets = {name: str(value) for name, value in secrets.items() if value}
    become = _sudo_words(ssh, sudo, "become" in secrets)
    method = variables.get("ansible_become_method", "sudo")
    if str(method).rpartition(".")[2] != "sudo":
        return Route(address, problem=f"ansible_become_method is {method}, and verify knows only sudo"), {}
    connection = str(variables.get("ansible_connection", "ssh")).rpartition(".")[2]
    if connection == "local":
        return Route(address, [], become if os.geteuid() else []), secrets
    if connection not in ("ssh", "smart"):
        return Route(address, problem=f"ansible_connection is {connection}, and verify knows ssh and local"), {}
    words = _ssh_words(ssh, address, secrets, socket)
    return Route(address, words, become, by_hand=_by_hand(ssh, address)), secrets


def _by_hand(options: dict[str, Any], address: str) -> str:
    key, port, user = options["private_key_file"], options["port"], options["remote_user"]
    words = [*(["-i", str(key)] if key else []), *(["-p", str(port)] if port else [])]
    for extra in ("ssh_common_args", "ssh_extra_args"):
        words += shlex.split(options[extra] or "")
    return shlex.join(["ssh", *words, f"{user}@{address}" if user else address])


def _ansible_options(kind: str, name: str, variables: dict[str, Any], config: Path) -> dict[str, Any]:
    """The plugin's options as Ansible resolves them: variables, then environment, then ansible.cfg, then
    defaults.
    """
    from ansible import constants
    from ansible.config.manager import ConfigManager
    from ansible.plugins.loader import become_loader, connection_loader

    loader = {"connection": connection_loader, "become": become_loader}[kind]
    loader.get(name, class_only=True)
    manager = ConfigManager(conf_file=str(config))
    definitions = constants.config.get_configuration_definitions(kind, name)
    manager.initialize_plugin_configuration_definitions(kind, name, definitions)
    return manager.get_plugin_options(kind, name, variables=variables)


def _ssh_words(options: dict[str, Any], address: str, secrets: dict[str, str], socket: Path) -> list[str]:
    """The ssh command in the order in which Ansible builds it (ssh takes the first value that it sees)."""
    settings = {
        "StrictHostKeyChecking": None if options["host_key_checking"] else "no",
        "Port": options["port"],
        "IdentityFile": f'"{Path(options["private_key_file"]).expanduser()}"' if options["private_key_file"] else None,
        "User": options["remote_user"],
        "ConnectTimeout": options["timeout"],
        "BatchMode": None if {"password", "passphrase"} & secrets.keys() else "yes",
    }
    # Before all else, because the first value counts.
    shared = ["-o", f"ControlPath={socket}", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s"]
    words = [str(options["ssh_executable"]), *shared, *shlex.split(options["ssh_args"] or "")]
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"] if value is not None else []
    for extra in ("ssh_common_args", "ssh_extra_args"):
        words += shlex.split(options[extra] or "")
    return [*words, address]


def _sudo_words(ssh: dict[str, Any], sudo: dict[str, Any], password: bool) -> list[str]:
    if ssh["remote_user"] == "root":
        return []
    return [str(sudo["become_exe"] or "sudo"), *(["-S", "-p", ""] if password else ["-n"])]


class Connection(BaseBackend):
    """A testinfra backend: runs shell commands as root on one host."""

    NAME = "dgctl"

    def __init__(self, name: str, way: Route, secrets: dict[str, str], askpass: str = ""):
        super().__init__(name)
        self.way, self.secrets, self.askpass = way, secrets, askpass
        self.commands = 0

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        """Runs `command` in /bin/sh; exit status 124 when it took too long. Raises Unreachable."""
        if self.way.problem:
            raise Unreachable(self.way.problem)
        self.commands += 1
        words = [*self.way.sudo, "/bin/sh", "-c", self.quote(command, *args)]
        if self.way.login:
            words = [*self.way.login, shlex.join(words)]
        done = self._execute(words)
        if self.way.login and done.returncode == 255:
            raise Unreachable(_last_words(done.stderr) or "ssh gave up without a word (exit status 255)")
        return self.result(done.returncode, command.encode(), done.stdout, done.stderr)

    def close(self) -> None:
        """Ends the shared connection."""
        if self.commands and self.way.login:
            *words, address = self.way.login
            subprocess.run([*words, "-O", "exit", address], capture_output=True, timeout=10, check=False)

    def _execute(self, words: list[str]) -> subprocess.CompletedProcess[bytes]:
        # sudo reads the password from here; without one the commands get an empty stdin.
        stdin = f"{self.secrets['become']}\n" if "become" in self.secrets else ""
        try:
            return subprocess.run(
                words,
                input=stdin.encode(),
                capture_output=True,
                timeout=COMMAND_LIMIT_S,
                env=self._environment(),
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 124, b"", b"no answer within %d s" % COMMAND_LIMIT_S)

    def _environment(self) -> dict[str, str]:
        """ssh asks a program for passwords, which finds them in its environment, not in arguments."""
        environment = dict(os.environ)
        if self.askpass and {"password", "passphrase"} & self.secrets.keys():
            environment |= {"SSH_ASKPASS": self.askpass, "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":"}
            environment["DGCTL_SSH_PASSWORD"] = self.secrets.get("password", "")
            environment["DGCTL_SSH_PASSPHRASE"] = self.secrets.get("passphrase", "")
        return environment


ASKPASS = """#!/bin/sh
case "$1" in
  *assphrase*) printf '%s\\n' "$DGCTL_SSH_PASSPHRASE" ;;
  *) printf '%s\\n' "$DGCTL_SSH_PASSWORD" ;;
esac
"""


def _last_words(said: bytes) -> str:
    """What ssh said at the end, on one line: the cause stands there, warnings and banners before it."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return " ".join(lines[-3:])
