"""A content root of three small roles and a deployment of two servers; looks are answered from a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dgctl.plan.look import Seen
from tests.unit.conftest import folder, root, write  # noqa: F401 - fixtures

PLAYBOOK = """\
- name: Container engine
  hosts: node
  tasks:
    - name: Engine
      ansible.builtin.include_role:
        name: "{{ deepgram_container_engine | default('docker') }}"
- name: Deepgram
  hosts: node
  roles: [deepgram]
- name: TLS proxy
  hosts: node
  roles: [nginx_proxy]
"""
TASKS = {
    "docker": "- docker_thing: {size: '{{ docker_log_max_size }}'}\n",
    "podman": "- podman_thing: {}\n",
    "deepgram": "- thing: {release: '{{ deepgram_release }}', key: '{{ deepgram_api_key }}'}\n",
    "preflight": "- look: {port: '{{ deepgram_release }}'}\n",
    "nginx_proxy": (
        "# deepgram_release in a comment is nothing\n"
        "- thing: {port: '{{ nginx_proxy_port }}', name: '{{ inventory_hostname }}'}\n"
        "- thing: \"{{ lookup('ansible.builtin.file', nginx_proxy_tls_certificate) }}\"\n"
    ),
}
EFFECTS = """\
follows: [docker, podman]
restarts:
  deepgram-api: [role, "variable deepgram_release", "file /etc/deepgram/*"]
reboots: ["variable deepgram_release"]
fetches: ["variable deepgram_release"]
"""
CALM = """\
calm:
  causes: ["file /etc/apt/*"]
  unless: [docker_reboot_allowed]
"""


@pytest.fixture
def small(root: Path, folder: Path) -> Path:  # noqa: F811
    """The content root; the test runs in the deployment's folder."""
    for role, tasks in TASKS.items():
        write(root / "roles" / role / "tasks" / "main.yml", tasks)
    write(root / "roles" / "deepgram" / "meta" / "effects.yml", EFFECTS)
    write(root / "roles" / "docker" / "meta" / "effects.yml", CALM)
    write(root / "playbooks" / "provision.yml", PLAYBOOK)
    return root


def right(*roles: str) -> dict[str, Any]:
    return {role: {"state": "right", "why": "", "drift": []} for role in roles}


def answers(monkeypatch: pytest.MonkeyPatch, seen: dict[str, Seen]) -> None:
    """Lets every look find this."""
    monkeypatch.setattr(
        "dgctl.plan.plan.look", lambda asked, tell: [tell(host.name, seen[host.name]) for host, _ in asked]
    )
