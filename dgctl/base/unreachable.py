"""Why a server cannot be reached, from what ssh and sudo say: one cause, one fix."""

from __future__ import annotations

import re

SUDO = (
    "sudo on the server wants a password, or refuses this user",
    "allow this user sudo without a password, or set ansible_become_password in group_vars/all/vault.yml",
)
# Enterprise Linux 8 has Python 3.6 as its own, which Ansible no longer speaks to.
OLD_PYTHON = re.compile(r"requires a minimum of Python|future feature annotations is not defined")
NEWER_PYTHON = (
    "the server's Python is too old for Ansible",
    "on the server: dnf install python39; then ansible_python_interpreter=/usr/bin/python3.9 on its line of the inventory",
)
# (what the message contains, the cause in words, what to do); the first that fits counts.
CAUSES = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Offending \S+ key",
        "the server's SSH host key is not the known one",
        "was it reinstalled? compare its fingerprint with the server's console, then: ssh-keygen -f {known_hosts} -R {entry}; "
        "ssh-keyscan -p {port} -H {address} >>{known_hosts}",
    ),
    (
        r"Host key verification failed|host key is known",
        "the server's SSH host key is not known here, or another one",
        "compare its fingerprint with the server's console, then: ssh-keygen -f {known_hosts} -R {entry}; "
        "ssh-keyscan -p {port} -H {address} >>{known_hosts}",
    ),
    (
        r"Bad port|(hostname|username) contains invalid characters",
        "ssh takes a name, address or user that begins with a dash for an option, or finds odd signs in it",
        "correct ansible_host and ansible_user: a name, and an address, begin with a letter or a digit",
    ),
    (
        r"banner line|Bad packet length|remote protocol version|remote software version",
        "what listens on port {port} is no SSH server",
        "set ansible_port to the port of sshd (on the server: sudo sshd -T | grep ^port)",
    ),
    (
        r"Bad configuration option|command-line: line|unknown option --|illegal option",
        "ssh does not know an option that the inventory gives it",
        "correct ansible_ssh_common_args or ansible_ssh_extra_args; try it: {login} true",
    ),
    (
        r"no matching (host key type|key exchange|cipher|MAC)",
        "the server's sshd and this ssh have no method in common",
        "update the older one; what sshd offers: {login} -vv true 2>&1 | grep -i offer",
    ),
    (
        r"Permission denied \(|Too many authentication failures|Authentication failed|no such identity",
        "the server refuses this user or SSH key",
        "check ansible_user and ansible_ssh_private_key_file, and that the public key is in that user's "
        "~/.ssh/authorized_keys on the server; then try: {login} true",
    ),
    (
        r"resolve hostname|Name or service not known|nodename nor servname|failure in name resolution",
        "the name of the server does not resolve",
        "correct ansible_host, or use the server's IP address",
    ),
    (
        r"Connection refused",
        "nothing listens on the SSH port",
        "check that sshd runs on the server, and ansible_port ({port})",
    ),
    (
        r"timed out|No route to host|Network is unreachable|Timeout",
        "the server does not answer",
        "check that it runs, its address (ansible_host), and the firewalls between here and its SSH port",
    ),
    (
        r"(Missing|Incorrect|Duplicate) (sudo|become) password|sudo: .*password is required|not in the sudoers",
        *SUDO,
    ),
    (
        r"Connection (to \S+ )?closed|Connection reset|kex_exchange|Broken pipe|Shared connection",
        "the server closed the SSH connection",
        "look at the server's sshd log: journalctl -u ssh; is ansible_port ({port}) sshd's?",
    ),
    (
        r"sshpass",
        "a password for SSH is set, and this machine has no sshpass",
        "better use an SSH key; or install sshpass here",
    ),
    (
        r"python|interpreter",
        "the server has no Python that Ansible can use",
        "install python3 on the server, or set ansible_python_interpreter",
    ),
)
# Ansible wrote to an ssh that had ended, and lost what that said (ansible-core, plugins/connection/ssh.py, _send_initial_data).
UNREAD = re.compile(
    r"Data could not be sent to remote host \S+ Make sure .* reached over ssh\W*(\[Errno[^|]*)?$", re.IGNORECASE
)
UNKNOWN = ("the server cannot be reached", "try it by hand: {login} -v true")


def of_sudo(message: str) -> bool:
    """Whether it is sudo that refuses."""
    return _found(message)[:2] == SUDO


def cause(message: str, way: dict[str, str]) -> tuple[str, str]:
    """(what, fix) for the message of an unreachable event; `way`: what ssh.effective() says of the way to the server."""
    what, fix = _found(message)
    return what.format_map(way), fix.format_map(way)


def _found(message: str) -> tuple[str, str]:
    return next(((what, fix) for pattern, what, fix in CAUSES if re.search(pattern, message)), UNKNOWN)


def not_started(error: OSError) -> tuple[str, str]:
    """(what, fix) where this machine has no ssh, or (ansible_connection=local) no such interpreter."""
    fix = f"install {error.filename} on this machine, or name another one in the inventory"
    return f"{error.filename}: {error.strerror}", fix
