"""SSH keys that the inventory names: there, private, and usable without a question."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dgctl.base.errors import Problem
from dgctl.validation.context import Context

NAMES = ("ansible_ssh_private_key_file", "ansible_private_key_file")


def problems(context: Context) -> Iterator[Problem]:
    judged: dict[str, tuple[str, str, str] | None] = {}
    for host in context.served:
        for name in NAMES:
            if name not in host.written or name in host.unrendered or host.vars.get("ansible_connection") == "local":
                continue
            given = str(host.vars[name])
            if given not in judged:
                judged[given] = wrong(Path(os.path.expanduser(given)))
            if judged[given]:
                what, value, fix = judged[given]
                yield context.problem(host, name, what, fix, value)


def wrong(path: Path) -> tuple[str, str, str] | None:
    """(what, value, fix) for a key that ssh cannot use; None for one that it can."""
    if not path.is_file():
        fix = 'give the path of the private key; one beside the inventory is "{{ inventory_dir }}/NAME"'
        return "the SSH key does not exist", str(path), fix
    if not os.access(path, os.R_OK):
        return "the SSH key cannot be read", str(path), f"chmod u+r {path}"
    text = path.read_bytes()
    if path.suffix == ".pub" or text[:4] in (b"ssh-", b"ecds"):  # first: its mode is right for what it is
        fix = (
            f"name the private one: {path.with_suffix('')}" if path.suffix == ".pub" else "name the private key's file"
        )
        return "this is a public key, not the private one", str(path), fix
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return "the SSH key can be read by others, so ssh refuses it", f"mode {mode:04o}", f"chmod 600 {path}"
    if text.startswith(b"-----BEGIN") and b"\r\n" in text:
        return (
            "the SSH key has the line ends of Windows, which ssh does not read",
            str(path),
            f"sed -i 's/\\r$//' {path}",
        )
    return _content(path)


def _content(path: Path) -> tuple[str, str, str] | None:
    import paramiko

    try:
        paramiko.PKey.from_path(path)
    except paramiko.PasswordRequiredException:
        return _locked(path)
    except (paramiko.SSHException, ValueError, TypeError, IndexError) as error:
        if _passphrase(error):
            return _locked(path)
        return _by_ssh(path)
    except Exception:  # a kind of key that paramiko does not know; ssh may
        return _by_ssh(path)
    return None


def _by_ssh(path: Path) -> tuple[str, str, str] | None:
    """What ssh's own reader says of a key that paramiko does not take; without that program it is believed."""
    if not _openssh(path):
        return "this file holds no SSH private key", str(path), "name a private key file"
    try:
        words = ["ssh-keygen", "-y", "-P", "", "-f", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode == 0:
        return None
    if _passphrase(done.stderr):
        return _locked(path)
    fix = f"copy it again, until this prints its public half: ssh-keygen -y -f {path}"
    return "the SSH key is damaged or cut off", f"{path}: {done.stderr.strip().rpartition(': ')[2]}", fix


def _passphrase(error: Exception | str) -> bool:
    return any(word in str(error).lower() for word in ("password", "passphrase", "encrypted"))


def _openssh(path: Path) -> bool:
    return b"PRIVATE KEY-----" in path.read_bytes()[:200]


def _locked(path: Path) -> tuple[str, str, str] | None:
    if _agent_holds(path):
        return None
    return "the SSH key is locked by a passphrase, and no ssh-agent holds it", str(path), f"ssh-add {path}"


def _agent_holds(path: Path) -> bool:
    """Whether ssh-agent holds the key; without its public half beside it, any agent with keys counts."""
    import paramiko

    held = {key.get_base64() for key in paramiko.Agent().get_keys()}
    public = Path(f"{path}.pub")
    if public.is_file() and len(public.read_text().split()) > 1:
        return public.read_text().split()[1] in held
    return bool(held)
