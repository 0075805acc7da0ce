"""Deployments and content roots made for one test: no server, no network."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests import utilities
from tests.unit import local_hosts
from tests.unit.servers_lease import LOCAL, Servers

CHECKOUT = Path(__file__).resolve().parents[2]

INVENTORY = """\
[node]
gpu1 ansible_host=192.0.2.11
gpu2 ansible_host=192.0.2.12

[all:vars]
ansible_user=ops
deepgram_release=release-260812
"""
MAIN = """\
deepgram_models_links:
  - https://models.example.com/nova-3.dg
  - url: https://models.example.com/nova-2.dg?signature=abc
"""
VAULT = "deepgram_api_key: key-of-the-unit-tests\n"

# What validation reads of a role, and nothing that a run would carry out.
INTERFACE = ("defaults", "meta/argument_specs.yml", "meta/schema.yml")
TABLES = "roles/platform/vars"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A content root with the real roles' variables and tables, and without their tasks, for tests to write their own."""
    path = tmp_path / "content"
    for part in [
        TABLES,
        *(f"roles/{role.name}/{part}" for role in (CHECKOUT / "roles").iterdir() for part in INTERFACE),
    ]:
        if (CHECKOUT / part).is_dir():
            shutil.copytree(CHECKOUT / part, path / part)
        elif (CHECKOUT / part).is_file():
            write(path / part, (CHECKOUT / part).read_text())
    write(path / "ansible.cfg", (CHECKOUT / "ansible.cfg").read_text())
    shutil.copytree(CHECKOUT / "inventories" / "example", path / "inventories" / "example")
    shutil.copytree(CHECKOUT / "plugins", path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    for file in (
        "look/look.py",
        "look/lease.py",
        "host/record.py",
    ):  # what local hosts keep is the test's, not the machine's
        copy = path / "plugins/module_utils" / file
        copy.write_text(copy.read_text().replace("/var/lib/deepgram", str(tmp_path / "servers" / LOCAL)))
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    monkeypatch.setattr("dgctl.content.root", lambda: path)
    return path


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This checkout as the content root, for tests that only read it: to copy and read a root takes longer than they do."""
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    return CHECKOUT


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    path.chmod(mode)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid deployment of two servers; the test runs inside its folder."""
    path = tmp_path / "deployment"
    write(path / "inventory.ini", INVENTORY)
    write(path / "group_vars" / "all" / "main.yml", MAIN)
    write(path / "group_vars" / "all" / "vault.yml", VAULT, 0o600)
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def here(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two local hosts, playbooks that do what their variables say, and a verify that holds."""
    write(folder / "inventory.ini", local_hosts.INVENTORY)
    write(root / "playbooks" / "preflight.yml", local_hosts.PREFLIGHT)
    write(root / "playbooks" / "provision.yml", local_hosts.PROVISION)
    write(root / "roles" / "docker" / "tasks" / "main.yml", local_hosts.DOCKER)
    write(root / "roles" / "deepgram" / "tasks" / "main.yml", local_hosts.DEEPGRAM)
    local_hosts.verdict(monkeypatch, "pass")
    return folder


@pytest.fixture(autouse=True)
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """Where runs lay their leases: folders of the test."""
    utilities.use()
    found = Servers(importlib.import_module("ansible.module_utils.look.lease"), tmp_path / "servers")
    monkeypatch.setattr("dgctl.run.lease.Asker", found)
    return found


@pytest.fixture
def dgctl() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the checkout's dgctl as a process, as a person does, without a terminal."""

    def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        return subprocess.run(
            [sys.executable, "-m", "dgctl", *words],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, timeout=60, **options,
        )  # fmt: skip

    return run
