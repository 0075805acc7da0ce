"""How Ansible is started: its environment, and what ansible-runner may keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl.run import playbook
from dgctl.run.collector import Collector
from dgctl.run.playbook import Run


def environment() -> dict[str, str]:
    """What Ansible gets on top of this process's environment."""
    return playbook._environment(Run("preflight.yml", None, None, record=None, progress=None))


def test_host_keys_are_checked_whatever_ansible_runner_thinks() -> None:
    assert environment()["ANSIBLE_HOST_KEY_CHECKING"] == "True"


@pytest.mark.parametrize(("spoken", "set_to"), [("C", "C.UTF-8"), ("de_DE.UTF-8", None), ("en_US.utf8", None)])
def test_ansible_gets_an_encoding_that_it_accepts(
    monkeypatch: pytest.MonkeyPatch, spoken: str, set_to: str | None
) -> None:
    monkeypatch.setenv("LC_ALL", spoken)
    assert environment().get("LC_ALL") == set_to


def test_ansible_runner_is_told_to_keep_no_event(root: Path) -> None:
    collector = Collector.__new__(Collector)
    collector.job = Run("preflight.yml", None, None, record=None, progress=None)
    assert collector.handle({"event": "verbose"}) is False
