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
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|host key is known",
        "the server's SSH host key is not the known one",
        "compare its fingerprint with the server's console, then ssh-keyscan -H ADDRESS >>~/.ssh/known_hosts "
        "(ssh-keygen -R ADDRESS first when the server was reinstalled)",
    ),
    (
        r"Permission denied \(|Too many authentication failures|Authentication failed|no such identity",
        "the server refuses this user or SSH key",
        "check ansible_user and ansible_ssh_private_key_file, and that the public key is in that user's "
        "~/.ssh/authorized_keys on the server",
    ),
    (
        r"resolve hostname|Name or service not known|nodename nor servname|failure in name resolution",
        "the name of the server does not resolve",
        "correct ansible_host, or use the server's IP address",
    ),
    (
        r"Connection refused",
        "nothing listens on the SSH port",
        "check that sshd runs on the server, and ansible_port",
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
        r"Connection closed|Connection reset|kex_exchange|Broken pipe|Shared connection",
        "the server closed the SSH connection",
        "look at the server's sshd log: journalctl -u ssh",
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
UNKNOWN = ("the server cannot be reached", "try it by hand: ssh -v USER@ADDRESS true")


def cause(message: str) -> tuple[str, str]:
    """(what, fix) for the message of an unreachable event."""
    for pattern, what, fix in CAUSES:
        if re.search(pattern, message):
            return what, fix
    return UNKNOWN
