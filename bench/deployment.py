"""A deployment's folder, and dgctl and ansible-playbook as a person runs them on it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.measure import BenchError, Cost, run
from bench.world import PROJECT

# 10: a plan with changes in it.
PLANNED = (0, 10)


@dataclass(frozen=True)
class Endpoint:
    """One host as SSH reaches it."""

    name: str
    address: str


@dataclass(frozen=True)
class Deployment:
    """A deployment's folder, as `bin/lab up` writes it."""

    folder: Path

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.ini"

    @property
    def vault(self) -> list[str]:
        return ["--vault-password-file", str(self.folder / ".vault_pass")]

    def endpoints(self) -> list[Endpoint]:
        return endpoints(self.inventory.read_text())

    def first(self, count: int) -> None:
        """Leaves only the first hosts in the inventory: a lab that was left running may have more servers."""
        retained = self.endpoints()[:count]
        self.inventory.write_text(with_hosts(self.inventory.read_text(), retained))

    def setting(self, name: str) -> str:
        """A variable of all hosts, from the inventory file."""
        return setting(self.inventory.read_text(), name)

    def ssh(self) -> list[str]:
        """`ssh` as Ansible runs it for this deployment, but for the keeping of connections."""
        config = (PROJECT / "ansible.cfg").read_text()
        arguments = re.search(r"(?m)^ssh_args = (.*)$", config)
        retained = _without_control(shlex.split(arguments.group(1)) if arguments else [])
        key, user = self.setting("ansible_ssh_private_key_file"), self.setting("ansible_user")
        return ["ssh", *retained, *shlex.split(self.setting("ansible_ssh_common_args")), "-i", key, "-l", user]

    def change(self, **variables: Any) -> None:
        """Sets variables of all hosts, in a file of their own that wins over the lab's."""
        path = self.folder / "group_vars/all/zz_bench.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(variables))

    def dgctl(self, verb: str, *options: str, allowed: Sequence[int] = (0,)) -> tuple[Cost, dict[str, Any]]:
        """Runs `dgctl VERB --json`; its cost and its document."""
        cost = run([PROJECT / "bin/dgctl", verb, self.inventory, *options, "--json"], allowed=range(256))
        try:
            document = json.loads(cost.stdout)
        except ValueError:
            raise BenchError(f"dgctl {verb}: no JSON on stdout: {cost.stdout[:500]!r} {cost.stderr[-500:]}") from None
        if cost.exit_code not in allowed:
            raise BenchError(f"dgctl {verb} ended with {cost.exit_code}: {problems(document)}")
        return cost, document

    def provision(self) -> tuple[Cost, dict[str, Any]]:
        return self.dgctl("provision", "--yes")

    def ansible(self, playbook: Path) -> Cost:
        """Runs a playbook with plain ansible-playbook and this repository's ansible.cfg."""
        program = PROJECT / ".venv/bin/ansible-playbook"
        environment = {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
        return run([program, "-i", self.inventory, *self.vault, playbook], environment=environment)


def problems(document: dict[str, Any]) -> str:
    """What a document of dgctl says is wrong, in one line."""
    errors = [*document.get("errors", []), *(e for h in document.get("hosts", {}).values() for e in h["errors"])]
    reported = [error["what"] for error in errors]
    failed = [check for check in document.get("checks") or [] if check["verdict"] == "fail"]
    reported += [f"{check['host']} {check['check']}: {check['seen']}; expected {check['expected']}" for check in failed]
    return "; ".join(reported)[:1500]


def endpoints(inventory: str) -> list[Endpoint]:
    """The hosts of an inventory that the lab wrote."""
    found = re.findall(r"(?m)^(\S+) ansible_host=(\S+)", inventory)
    return [Endpoint(name, address) for name, address in found]


def with_hosts(inventory: str, hosts: Sequence[Endpoint]) -> str:
    """The inventory with other hosts in [node]."""
    lines = "".join(f"{host.name} ansible_host={host.address}\n" for host in hosts)
    return re.sub(r"(?ms)^\[node\]\n.*?(?=^\[)", lambda _: f"[node]\n{lines}\n", inventory)


def setting(inventory: str, name: str) -> str:
    found = re.search(rf"(?m)^{re.escape(name)}=(.*)$", inventory)
    if not found:
        raise BenchError(f"the inventory sets no {name}")
    value = found.group(1)
    return value[1:-1] if value[:1] in "'\"" and value[:1] == value[-1:] else value


def _without_control(words: list[str]) -> list[str]:
    """ssh options without ControlMaster and ControlPersist: each caller says how connections are kept."""
    pairs = zip(words[::2], words[1::2], strict=True)  # all are `-o name=value`
    return [word for option, value in pairs if not value.startswith("Control") for word in (option, value)]
