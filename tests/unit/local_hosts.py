"""Two hosts of local connections, playbooks that do what their variables say, and what dgctl makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dgctl.output.report import Check
from dgctl.plan.look import Seen
from dgctl.run.session import Session, main
from tests.unit.called import called

INVENTORY = """\
[node]
a
b

[all:vars]
ansible_connection=local
ansible_python_interpreter={{ ansible_playbook_python }}
deepgram_release=release-260812
"""
PREFLIGHT = """\
- name: Preflight
  hosts: node
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Look
      ansible.builtin.ping:
    - name: Refuse
      ansible.builtin.fail:
        msg: "The disk is full. Fix: free 50 GB under /var/lib"
      when: inventory_hostname in (refused | default([]))
"""
PROVISION = """\
- name: Import the preflight
  ansible.builtin.import_playbook: preflight.yml
- name: Container engine
  hosts: "{{ hosts_of_play['Container engine'] | default('node') }}"
  gather_facts: false
  tasks:
    - name: Engine
      ansible.builtin.include_role:
        name: "{{ deepgram_container_engine | default('docker') }}"
- name: Deepgram
  hosts: "{{ hosts_of_play['Deepgram'] | default('node') }}"
  gather_facts: false
  roles: [deepgram]
"""
DOCKER = """\
- name: Handled
  block:
    - name: Fails at first
      ansible.builtin.command: "false"
      when: inventory_hostname in (rescued | default([]))
  rescue:
    - name: Helps
      ansible.builtin.debug:
        msg: helped
- name: Break
  ansible.builtin.command: sh -c 'echo the wheel came off >&2; exit 3'
  when: inventory_hostname in (broken | default([]))
- name: Wait
  ansible.builtin.command: sleep {{ pause_s | default(0) }}
  changed_when: false
"""
DEEPGRAM = """\
- name: Write a file
  ansible.builtin.copy:
    content: "{{ deepgram_release }}"
    dest: "{{ inventory_dir }}/{{ inventory_hostname }}.txt"
    mode: "0644"
- name: Tell a secret
  ansible.builtin.debug:
    msg: "the key is {{ deepgram_api_key }}"
"""


def verdict(monkeypatch: pytest.MonkeyPatch, word: str, check: str = "transcription.file") -> None:
    """Lets verify find one check of this verdict on every host."""

    def run(deployment: Any, hosts: list[str], progress: Any, log: Any) -> list[Check]:
        return [Check(name, check, word, "nothing", "words", "look at the Engine") for name in hosts]

    monkeypatch.setattr("dgctl.verify.run", run)


def do(capsys: pytest.CaptureFixture[str], verb: Callable[[Session], Any], **options: Any) -> dict[str, Any]:
    """Runs a verb as `--json` does and returns its document."""
    session = called(verb.__name__, Path("inventory.ini"), as_json=True, **options)
    code = main(session, verb)
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    return document


def records() -> list[Path]:
    return sorted(Path(".dgctl/runs").iterdir())


marked: list[str] = []


def looks(monkeypatch: pytest.MonkeyPatch, **states: dict[str, str]) -> None:
    """Lets the look find each role of each host in this state; hosts that are not named are right and verified."""
    every = dict.fromkeys(("docker", "deepgram"), "right")

    def look(requests: Any, tell: Any) -> None:
        for host, _ in requests:
            roles = every | states.get(host.name, {})
            found = {role: {"state": state} for role, state in roles.items()}
            tell(host.name, Seen(found, verified=host.name not in states))

    monkeypatch.setattr("dgctl.plan.plan.look", look)
    monkeypatch.setattr(
        "dgctl.plan.look.mark_verified", lambda requests: marked.extend(host.name for host, _ in requests)
    )
    marked.clear()


def ran() -> set[tuple[str, str]]:
    """(host, role) of the tasks of the newest run."""
    lines = (records()[-1] / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return {(event["host"], event["role"]) for event in events if event.get("host") and event.get("role")}
