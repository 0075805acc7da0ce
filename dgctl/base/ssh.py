"""The way to a server: the SSH command and the sudo words that Ansible itself would use, and the secrets for them."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import subprocess
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any


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

    def over(self, socket: str) -> Route:
        """The same way over a shared connection of another socket; ssh takes the first value that it sees."""
        words = [*self.login[:1], "-o", f"ControlPath={socket}", *self.login[1:]]
        return replace(self, login=words) if self.login else self

    def command(self, words: list[str]) -> list[str]:
        """The local command that runs `words` as root there."""
        words = [*self.sudo, *words]
        return [*self.login, shlex.join(words)] if self.login else words


def with_options(login: list[str], *options: str) -> list[str]:
    """A route's login with more of ssh's own options: before the `--` that ends them."""
    end = login.index("--") if "--" in login else len(login) - 1
    return [*login[:end], *options, *login[end:]]


def route(
    variables: dict[str, Any], address: str, config: Path, socket: Path | None = None, leave_open: bool = True
) -> tuple[Route, dict[str, str]]:
    """The route to a host with these Ansible variables under this ansible.cfg, and the secrets that it needs.

    `socket`: a shared connection of one's own; without it the one that Ansible keeps for this host is used, or,
    with `leave_open`, left for Ansible. Secrets are `password` (SSH), `passphrase` (of the key) and `become`
    (sudo); absent ones are left out.
    """
    ssh = _options("connection", "ssh", variables, config)
    sudo = _options("become", "sudo", variables, config)
    secrets = {
        "password": ssh["password"],
        "passphrase": ssh["private_key_passphrase"],
        "become": sudo["become_pass"],
    }
    secrets = {name: str(value) for name, value in secrets.items() if value}
    become = _sudo_words(ssh, sudo, "become" in secrets)
    method = variables.get("ansible_become_method", "sudo")
    if str(method).rpartition(".")[2] != "sudo":
        return Route(address, problem=f"ansible_become_method is {method}, and only sudo is known here"), {}
    connection = str(variables.get("ansible_connection", "ssh")).rpartition(".")[2]
    if connection == "local":
        return Route(address, [], become if os.geteuid() else []), secrets
    if connection not in ("ssh", "smart"):
        return Route(address, problem=f"ansible_connection is {connection}, and only ssh and local are known here"), {}
    if address.startswith("-") or str(ssh["remote_user"] or "").startswith("-"):
        return Route(address, problem="a name, address or user that begins with a dash is an option to ssh"), {}
    try:
        words = _ssh_words(ssh, address, secrets, socket, leave_open)
        return Route(address, words, become, by_hand=_by_hand(ssh, address)), secrets
    except ValueError as error:
        return Route(address, problem=f"ansible_ssh_common_args or ansible_ssh_extra_args cannot be read: {error}"), {}


def resolved(login: list[str], limit_s: float | None = None) -> dict[str, str]:
    """What ssh makes of a login's options and of ~/.ssh/config: setting in small letters -> value."""
    words = [login[0], "-G", *login[1:]]
    reported = subprocess.run(words, capture_output=True, text=True, check=False, timeout=limit_s).stdout
    return dict(line.split(" ", 1) for line in reported.splitlines() if " " in line)


def effective(way: Route) -> dict[str, str]:
    """What ssh itself makes of the way to a host: login (a command), address, port and known_hosts (its first file)."""
    found = {
        "login": way.by_hand or "ssh ADDRESS",
        "address": way.address,
        "port": "22",
        "known_hosts": "~/.ssh/known_hosts",
    }
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        reported = resolved([way.login[0] if way.login else "ssh", *shlex.split(way.by_hand)[1:]], limit_s=10)
        found |= {
            key: reported[name] for key, name in (("address", "hostname"), ("port", "port")) if reported.get(name)
        }
        if files := reported.get("userknownhostsfile", "").split():
            found["known_hosts"] = shlex.quote(files[0]).replace("'~/", "~/'")
    bracketed = found["address"] if found["port"] == "22" else f"[{found['address']}]:{found['port']}"
    return found | {"entry": shlex.quote(bracketed)}


def refusal(way: Route, limit_s: float = 30) -> str:
    """What ssh says of a way that leads nowhere, tried once without secrets; empty where it leads to the server."""
    if not way.login:
        return ""
    words = with_options(way.login, "-o", "BatchMode=yes", "-o", "ControlPath=none")
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [*words, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=limit_s
        )
        return last_words(done.stderr) if done.returncode == 255 else ""
    return ""


def environment(secrets: dict[str, str], askpass: str) -> dict[str, str]:
    """The environment for ssh, which asks the program `askpass` for passwords: they are in no argument."""
    found = dict(os.environ)
    if askpass and {"password", "passphrase"} & secrets.keys():
        found |= {"SSH_ASKPASS": askpass, "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":"}
        found["DGCTL_SSH_PASSWORD"] = secrets.get("password", "")
        found["DGCTL_SSH_PASSPHRASE"] = secrets.get("passphrase", "")
    return found


def write_askpass(folder: Path) -> str:
    """Writes the program that ssh asks for secrets, which reads them from its environment; its path."""
    path = folder / "askpass"
    path.touch(0o700)
    path.write_text(ASKPASS)
    return str(path)


# Only what ssh itself asks gets an answer. A server may put any words into a prompt of its own (keyboard-interactive), which ssh
# shows behind "(user@host) "; the passphrase of a key is for a file that is here (OpenSSH, sshconnect2.c: "Enter passphrase for
# key '%.100s': ", "%s@%s's password: ", "(%s@%s) ").
ASKPASS = """#!/bin/sh
answer() {
  test -n "$1" || exit 1
  printf '%s\\n' "$1"
}
case "$1" in
  "("*"@"*") "*assword*) answer "$DGCTL_SSH_PASSWORD" ;;
  "("*"@"*") "*) exit 1 ;;
  "Enter passphrase for key '"*"'"*)
    file=${1#"Enter passphrase for key '"}
    file=${file%"'"*}
    test "${#file}" -lt 100 || file=$(ls -d "$file"* 2>/dev/null | head -n 1)
    test -f "$file" || exit 1
    answer "$DGCTL_SSH_PASSPHRASE" ;;
  *assphrase*) exit 1 ;;
  *"@"*"'s password: " | [Pp]"assword: ") answer "$DGCTL_SSH_PASSWORD" ;;
  *) exit 1 ;;
esac
"""


def last_words(reported: bytes) -> str:
    """What ssh said at the end, on one line: the cause stands there, warnings and banners before it."""
    lines = [line.strip() for line in reported.decode(errors="replace").splitlines() if line.strip()]
    return " ".join(lines[-3:])


def _by_hand(options: dict[str, Any], address: str) -> str:
    key, port, user = options["private_key_file"], options["port"], options["remote_user"]
    words = [*(["-i", str(key)] if key else []), *(["-p", str(port)] if port else [])]
    for extra in ("ssh_common_args", "ssh_extra_args"):
        words += shlex.split(options[extra] or "")
    return shlex.join(["ssh", *words, f"{user}@{address}" if user else address])


@functools.cache
def _manager(config: Path) -> Any:
    """Ansible's own reader of options, which takes a while to make."""
    from ansible import constants
    from ansible.config.manager import ConfigManager
    from ansible.plugins.loader import become_loader, connection_loader

    manager = ConfigManager(conf_file=str(config))
    for kind, name, loader in (("connection", "ssh", connection_loader), ("become", "sudo", become_loader)):
        loader.get(name, class_only=True)
        definitions = constants.config.get_configuration_definitions(kind, name)
        manager.initialize_plugin_configuration_definitions(kind, name, definitions)
    return manager


def _options(kind: str, name: str, variables: dict[str, Any], config: Path) -> dict[str, Any]:
    """The plugin's options as Ansible resolves them: variables, then environment, then ansible.cfg, then defaults."""
    return _manager(config).get_plugin_options(kind, name, variables=variables)


def _ssh_words(
    options: dict[str, Any], address: str, secrets: dict[str, str], socket: Path | None, leave_open: bool
) -> list[str]:
    """The ssh command in the order in which Ansible builds it (ssh takes the first value that it sees)."""
    settings = {
        "StrictHostKeyChecking": None if options["host_key_checking"] else "no",
        "Port": options["port"],
        "IdentityFile": f'"{os.path.expanduser(options["private_key_file"])}"' if options["private_key_file"] else None,
        "User": options["remote_user"],
        "ConnectTimeout": options["timeout"],
        "BatchMode": None if {"password", "passphrase"} & secrets.keys() else "yes",
    }
    words = [str(options["ssh_executable"])]
    if socket:  # before all else, because the first value counts
        words += ["-o", f"ControlPath={socket}", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s"]
    elif not leave_open:
        words += ["-o", "ControlMaster=no"]
    words += shlex.split(options["ssh_args"] or "")
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"] if value is not None else []
    for extra in ("ssh_common_args", "ssh_extra_args"):
        words += shlex.split(options[extra] or "")
    return [*words, *([] if socket else _ansibles_socket(words, options)), "--", address]


def _ansibles_socket(words: list[str], options: dict[str, Any]) -> list[str]:
    """The option that names Ansible's shared connection to this host, by the rule of its ssh plugin."""
    from ansible.plugins.connection.ssh import Connection
    from ansible.utils.path import makedirs_safe, unfrackpath

    reported = " ".join(words).lower()
    if "controlpersist" not in reported or "controlpath" in reported:
        return []
    directory = unfrackpath(options["control_path_dir"])
    makedirs_safe(directory, 0o700)
    path = options["control_path"] or Connection._create_control_path(
        options["host"], options["port"], options["remote_user"]
    )
    return ["-o", f'ControlPath="{path % {"directory": directory}}"']


def _sudo_words(ssh: dict[str, Any], sudo: dict[str, Any], password: bool) -> list[str]:
    if ssh["remote_user"] == "root":
        return []
    return [str(sudo["become_exe"] or "sudo"), *(["-S", "-p", ""] if password else ["-n"])]
