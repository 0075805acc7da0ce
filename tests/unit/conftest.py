"""Deployments and content roots made for one test: no server, no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.unit import local_hosts

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

DEFAULTS = """\
deepgram_release: ""
deepgram_api_key: ""
deepgram_api_port: 8080
deepgram_metrics_port: 9991
deepgram_container_engine: docker
deepgram_engine_gpu_required: true
deepgram_registry_password: ""
deepgram_image_digests: {}
deepgram_pause_s: 0
deepgram_upstream: "127.0.0.1:{{ deepgram_api_port }}"
"""
SPECS = """\
argument_specs:
  main:
    options:
      deepgram_release: {type: str, required: true}
      deepgram_api_key: {type: str, required: true, no_log: true}
      deepgram_api_port: {type: int}
      deepgram_metrics_port: {type: int}
      deepgram_container_engine: {type: str, choices: [docker, podman]}
      deepgram_engine_gpu_required: {type: bool}
      deepgram_registry_password: {type: str, no_log: true}
      deepgram_image_digests: {type: dict}
      deepgram_pause_s: {type: int}
      deepgram_upstream: {type: str}
"""
ROLES = {
    "deepgram": (DEFAULTS, SPECS),
    "deepgram_models": (
        "deepgram_models_links: []\n",
        "argument_specs: {main: {options: {deepgram_models_links: {type: list, elements: raw}}}}\n",
    ),
    "nginx_proxy": (
        'nginx_proxy_port: 443\nnginx_proxy_server_name: ""\n'
        'nginx_proxy_tls_certificate: ""\nnginx_proxy_tls_key: ""\n',
        "argument_specs: {main: {options: {nginx_proxy_port: {type: int}}}}\n",
    ),
    "preflight": ("preflight_min_cpu_cores: 4\n", ""),
    "nvidia_driver": ('nvidia_driver_branch: "580"\nnvidia_driver_version: ""\n', ""),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A content root with small roles of the real names; dgctl uses it instead of the checkout."""
    path = tmp_path / "content"
    for name, (defaults, specs) in ROLES.items():
        write(path / "roles" / name / "defaults" / "main.yml", defaults)
        if specs:
            write(path / "roles" / name / "meta" / "argument_specs.yml", specs)
    write(path / "ansible.cfg", (CHECKOUT / "ansible.cfg").read_text())
    shutil.copytree(CHECKOUT / "inventories" / "example", path / "inventories" / "example")
    shutil.copytree(CHECKOUT / "plugins", path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    monkeypatch.setattr("dgctl.content.root", lambda: path)
    return path


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
