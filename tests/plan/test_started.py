"""The note that a run begins: which servers get it over the look's connection, and which from the playbook."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dgctl.content import bundle
from dgctl.plan import look
from dgctl.plan.plan import BEGIN, HostPlan, Plan, Step
from dgctl.plan.reasons import Kind, Reason
from dgctl.rollout.provisioning import part_of, started
from dgctl.run import playbook
from tests.plan.test_look import host
from tests.plan.test_rollout import deployment

PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: >-
          {{ inventory_hostname }}: {{ ansible_facts['distribution'] | default('unknown') }}
          {{ ansible_facts['pkg_mgr'] | default('') }}
"""
FACTS = {"ansible_distribution": "Debian", "ansible_pkg_mgr": "apt"}


def one(kind: str, *roles: str, preflight: bool = False) -> HostPlan:
    return HostPlan([Step(role, "f", (Reason(kind, "x"),)) for role in roles], preflight=preflight)


def work(check: bool = False) -> Any:
    shown = SimpleNamespace(phase=phases.append, host=lambda *reported: None)

    @contextmanager
    def progress(phases: list[str], hosts: list[str]) -> Any:
        yield shown

    return SimpleNamespace(
        session=SimpleNamespace(options=SimpleNamespace(check=check)),
        deployment=deployment(node=["a", "b"]),
        progress=progress,
    )


phases: list[str] = []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Server -> the roles that it was told of; b cannot note them."""
    found: dict[str, list[str]] = {}

    def mark(requests: Any, tell: Any) -> None:
        for each, roles in requests:
            found[each.name] = list(roles)
            tell(each.name, each.name != "b")

    monkeypatch.setattr("dgctl.plan.look.mark_started", mark)
    phases.clear()
    return found


def part(plans: dict[str, HostPlan], check: bool = False) -> tuple[Plan, playbook.Part]:
    plan = Plan(plans, {name: {} for name in plans}, facts={name: FACTS for name in plans})
    at = work(check)
    return plan, started(at, plan, part_of(plan, at))


def test_it_goes_the_look_s_way_and_the_playbook_asks_who_could_not(asked: dict[str, list[str]]) -> None:
    plan, left = part({name: one(Kind.CHANGED, "nginx_proxy", "host_firewall") for name in ("a", "b")})
    assert asked == {"a": ["nginx_proxy", "host_firewall"], "b": ["nginx_proxy", "host_firewall"]}
    assert left.hosts_of_play[BEGIN] == ["b"] and left.hosts == ["a", "b"]
    assert phases == [BEGIN] and 0 <= plan.timings["begin"] < 60
    assert left.facts == {"a": FACTS, "b": FACTS}


def test_what_was_verified_is_copied_before(asked: dict[str, list[str]]) -> None:
    _, left = part({"a": one(Kind.CHANGED, "nginx_proxy"), "b": one(Kind.CHANGED, "deepgram")})
    assert list(asked) == ["a"] and left.hosts_of_play[BEGIN] == ["b"]


@pytest.mark.parametrize(("preflight", "check"), [(True, False), (False, True)])
def test_nothing_is_noted_before_the_preflight_or_in_check_mode(
    asked: dict[str, list[str]], preflight: bool, check: bool
) -> None:
    plans = {"a": one(Kind.CHANGED, "nginx_proxy", preflight=preflight), "b": one(Kind.CHANGED, "nginx_proxy")}
    _, left = part(plans, check)
    assert asked == {} and left.hosts_of_play[BEGIN] == ["a", "b"]


def test_a_server_that_cannot_write_its_record_is_not_taken_for_one_that_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard: dict[str, bool] = {}
    full = bundle.sources(look.content.utilities(), {look.ENTRY})
    for place, noted in ((tmp_path / "state", True), (tmp_path / "in_the_way" / "state", False)):
        (tmp_path / "in_the_way").touch()
        own = f"sys.modules['ansible.module_utils.host.record'].FOLDER = {str(place)!r}\n"
        packed = bundle.packed(full + own + bundle.call(look.ENTRY))
        monkeypatch.setattr(bundle, "program", lambda folder, entry, packed=packed: packed)
        look.mark_started([(host(), {"docker": ""})], heard.__setitem__)
        assert heard == {"here": noted}
    assert (tmp_path / "state" / "docker.json").is_file()


def test_what_the_look_learned_is_a_fact_to_ansible(tmp_path: Path) -> None:
    playbook._write_part(tmp_path, playbook.Part(["a"], {}, facts={"a": FACTS}))
    (tmp_path / "play.yml").write_text(PLAY)
    settings = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / playbook.FACTS)}
    words = [sys.executable, "-m", "ansible", "playbook", "-i", "a,b,", str(tmp_path / "play.yml")]
    done = subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60, check=True)
    assert "a: Debian apt" in done.stdout and "b: unknown" in done.stdout
