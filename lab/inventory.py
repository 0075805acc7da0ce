"""Writes the lab's deployment: the inventory a user with such servers and a company mirror would write."""

import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from lab import keys, servers, topology
from lab.home import CHECKOUT, Home

INVENTORY = """\
# Written by `bin/lab up`: the simulated servers of the lab `{lab}`.
# Settings of your own go to group_vars/all/ in a file of your own; the lab's files are rewritten by each `up`.

{groups}[all:vars]
ansible_user=ops
ansible_ssh_private_key_file={key}
# The servers' SSH host keys are known and checked.
ansible_ssh_common_args='-o UserKnownHostsFile={known_hosts} -o StrictHostKeyChecking=yes'
deepgram_release={release}
"""

SETTINGS = """\
# Written by `bin/lab up`. What a user with a package mirror, a registry and a licence server of their own would set.

deepgram_container_engine: {engine}

# Stand-in packages, in the place of the vendors' own repositories
{packages}
# Stand-in Deepgram images, models and licence server
deepgram_registry: registry.lab.test:5000/deepgram
deepgram_registry_username: deepgram+lab
{licences}
deepgram_models_links:{links}

# An Engine of the lab serves this many requests at once.
deepgram_engine_max_active_requests: 20
{minimums}"""

RELEASE = "release-260812"

# What preflight asks of a server that serves speech-to-text; lowered where this machine has less.
USUAL = {"preflight_min_cpu_cores": 4, "preflight_min_memory_mb": 30000, "preflight_min_disk_gb": 50}


def default_directory(home: Home, lab: str) -> Path:
    """inventories/lab in this checkout for the lab named `lab`; under the lab's home for any other."""
    if lab == "lab" and not home.suffix:
        return CHECKOUT / "inventories" / "lab"
    return home.path / "inventories" / lab


@dataclass(frozen=True)
class Said:
    """What the inventory says of all servers. `packages`: where they come from, as YAML of group_vars.

    `release`: another than it said before; None: the same, or the newest.
    """

    engine: str
    packages: str
    links: list[str]
    release: str | None


def write(home: Home, lab: str, directory: Path, all_: Said) -> Path:
    """Writes inventory.ini, group_vars/all/{main,vault}.yml and .vault_pass; returns the inventory's path."""
    group_vars = directory / "group_vars" / "all"
    group_vars.mkdir(parents=True, exist_ok=True)
    present = servers.listed(home, lab)
    inventory = directory / "inventory.ini"
    release = all_.release or _release(inventory)
    lines = {"groups": sections(present), "release": release, "known_hosts": servers.known_hosts(home)}
    inventory.write_text(INVENTORY.format(lab=lab, key=keys.client_key(home), **lines))
    reported = {"links": _list(all_.links), "licences": _licences(home, directory, present), "minimums": _minimums()}
    (group_vars / "main.yml").write_text(SETTINGS.format(engine=all_.engine, packages=all_.packages, **reported))
    _write_vault(directory / ".vault_pass", group_vars / "vault.yml", _secrets(home, present))
    for lock in (
        "images.lock",
        "models.lock",
    ):  # registry and model server may have been filled again, with other stand-ins
        (directory / lock).unlink(missing_ok=True)
    return inventory


def sections(present: list[servers.Server]) -> str:
    """`[group]` with a line a server, for each group that has one."""
    text = ""
    for group in topology.GROUPS:
        lines = [f"{one.name} ansible_host={one.address}\n" for one in present if one.group == group.name]
        text += f"[{group.name}]\n{''.join(lines)}\n" if lines else ""
    return text


def _release(inventory: Path) -> str:
    """The release that the inventory asks for by now: an upgrade or a person may have changed it."""
    found = re.search(r"(?m)^deepgram_release=(\S+)$", inventory.read_text()) if inventory.exists() else None
    return found.group(1) if found else RELEASE


def _licences(home: Home, directory: Path, present: list[servers.Server]) -> str:
    """Where licences come from; with licence proxies, it is they who ask there; behind an air gap nobody does."""
    groups = {server.group for server in present}
    if "billing" in groups:
        return f"billing_license_file: {_license_file(directory, _license_key(home))}"
    if "license_proxy" in groups:
        return "deepgram_license_upstream: [https://license.lab.test]"
    return "deepgram_license_servers: [https://license.lab.test]"


def _license_key(home: Home) -> str:
    return keys.secret(home, "deepgram-license-key", "lab-deepgram-license-")


def _license_file(directory: Path, key: str) -> Path:
    """As the stand-in of Billing reads one (lab/deepgram/programs/billing.py)."""
    path = directory / "license.dg"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"keys": [hashlib.sha256(key.encode()).hexdigest()]}) + "\n")
    return path


def _secrets(home: Home, present: list[servers.Server]) -> dict[str, str]:
    found = {
        "deepgram_api_key": keys.secret(home, "deepgram-api-key", "lab-deepgram-key-"),
        "deepgram_registry_password": keys.secret(home, "registry-password"),
    }
    if any(server.group == "billing" for server in present):
        found["deepgram_license_key"] = _license_key(home)
    return found


def _list(items: list[str]) -> str:
    return "".join(f"\n  - {item}" for item in items) or " []"


def _minimums() -> str:
    """The minimums that this machine, and so every server on it, does not reach, as YAML with a comment."""
    memory_kb = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    disk = os.statvfs("/var/lib")
    has = {
        "preflight_min_cpu_cores": os.cpu_count() or 1,
        "preflight_min_memory_mb": memory_kb // 1024 // 1000 * 1000,
        "preflight_min_disk_gb": disk.f_bavail * disk.f_frsize // 2**30 // 2,
    }
    low = {name: value for name, value in has.items() if value < USUAL[name]}
    if not low:
        return ""
    lines = [f"{name}: {value} # usual: {USUAL[name]}" for name, value in low.items()]
    return "\n# This machine has less than a Deepgram server should.\n" + "\n".join(lines) + "\n"


def _write_vault(password_file: Path, path: Path, secrets_: dict[str, str]) -> None:
    """The secrets, encrypted with the password beside the inventory; left alone when they already say the same."""
    from ansible.constants import DEFAULT_VAULT_ID_MATCH
    from ansible.errors import AnsibleError
    from ansible.parsing.vault import VaultLib, VaultSecret

    plain = "".join(f"{name}: {value}\n" for name, value in secrets_.items()).encode()
    if not password_file.exists():
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_hex(20) + "\n")
    vault = VaultLib([(DEFAULT_VAULT_ID_MATCH, VaultSecret(password_file.read_bytes().strip()))])
    try:
        if path.exists() and vault.decrypt(path.read_bytes()) == plain:
            return
    except AnsibleError:
        pass  # encrypted with a password that is lost: rewritten
    path.touch(mode=0o600)
    path.write_bytes(vault.encrypt(plain))
