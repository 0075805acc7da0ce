"""A lab server and dgctl, as a person uses them: by command line; judged by exit code, JSON and the server itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.paths import PROJECT

DGCTL = PROJECT / "bin/dgctl"
LAB = PROJECT / "bin/lab"


@dataclass
class Run:
    """One finished dgctl: its exit code, its JSON document, and what it said on stderr."""

    exit_code: int
    document: dict[str, Any]
    stderr: str

    def problems(self) -> str:
        """Everything that is wrong, in one text to search in."""
        lines = [json.dumps(error) for error in self.document.get("errors", [])]
        lines += [json.dumps(e) for h in self.document.get("hosts", {}).values() for e in h["errors"]]
        lines += [json.dumps(c) for c in self.document.get("checks", []) if c["verdict"] == "fail"]
        return "\n".join(lines)

    def failed_checks(self) -> set[str]:
        return {check["check"] for check in self.document.get("checks", []) if check["verdict"] == "fail"}


@dataclass
class Server:
    """One server of the lab: `sh` runs a command on it as root, without SSH."""

    name: str
    address: str

    def sh(self, script: str, check: bool = True) -> str:
        done = subprocess.run(
            ["docker", "exec", self.name, "sh", "-c", script], capture_output=True, text=True, timeout=300
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {script!r} ended {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def fault(self, name: str) -> str:
        """Makes one of the lab's faults here; what the lab says of it."""
        return self._lab("fault", name)

    def heal(self, name: str) -> None:
        self._lab("heal", name)

    def _lab(self, verb: str, fault: str) -> str:
        done = subprocess.run([LAB, verb, self.name, fault], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def has(self, path: str) -> bool:
        return self.sh(f"test -e {path} && echo yes || true").strip() == "yes"


@dataclass
class Deployment:
    """A deployment's folder: the user's own files."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.ini"

    def variant(self, folder: Path, **variables: Any) -> Deployment:
        """A copy of this deployment in `folder` in which these variables of all hosts differ."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(".dgctl"))
        main = folder / "group_vars/all/main.yml"
        # A later file of the same group wins, and the copied files stay as the lab wrote them.
        changed = main.parent / "zz_changed.yml"
        changed.touch(mode=0o600)
        changed.write_text(yaml.safe_dump(variables))
        return Deployment(folder, dict(self.environment))

    def variables(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "group_vars/all/main.yml").read_text())

    def python_of_modules(self) -> str:
        """Version of the Python that Ansible discovers on the servers and runs modules with, such as "3.9"."""
        question = "gather_subset=!all,!min,python filter=ansible_python"
        words = [Path(sys.executable).with_name("ansible"), "-i", self.inventory, "all", "-m", "ansible.builtin.setup"]
        words += ["--vault-password-file", self.folder / ".vault_pass"]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run([*words, "-a", question], capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        (minor,) = set(re.findall(r'"minor": (\d+)', done.stdout))
        return f"3.{minor}"

    def dgctl(self, verb: str, *options: str, timeout: float = 900) -> Run:
        """Runs `dgctl VERB INVENTORY OPTIONS --json`, a verb such as "images load" too; stdout must be one JSON document."""
        done = subprocess.run(
            [DGCTL, *verb.split(), self.inventory, *options, "--json"],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        try:
            document = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"no JSON on stdout: {done.stdout!r}\n{done.stderr}") from None
        assert document["exit_code"] == done.returncode
        return Run(done.returncode, document, done.stderr)


def lab_up(name: str, folder: Path, *options: str) -> tuple[Deployment, list[Server]]:
    subprocess.run([LAB, "up", f"--name={name}", f"--inventory={folder}", *options], check=True, timeout=900)
    return Deployment(folder), lab_servers(name)


def lab_servers(name: str, group: str | None = None) -> list[Server]:
    """Those of a lab, or of one group of its inventory."""
    listed = subprocess.run(
        [LAB, "list", f"--name={name}", "--json"], check=True, capture_output=True, text=True, timeout=60
    )
    found = json.loads(listed.stdout)
    return [Server(one["name"], one["address"]) for one in found if group in (None, one["group"])]


def lab_down(name: str) -> None:
    subprocess.run([LAB, "down", f"--name={name}"], check=True, timeout=300)
