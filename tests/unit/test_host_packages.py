"""The action plugin that chooses the module for a host's package manager."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

from tests.paths import PROJECT

specification = importlib.util.spec_from_file_location("host_packages", PROJECT / "plugins/action/host_packages.py")
plugin = importlib.util.module_from_spec(specification)
specification.loader.exec_module(plugin)
ARGUMENTS = {"packages": ["a"], "kernel_modules": "x", "enable_repositories": ["crb"]}


def chosen(facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, asked: str = "") -> tuple[str, dict[str, Any]]:
    """(module, its arguments) for a host with these facts; `asked`: what the host says when it is asked."""
    monkeypatch.setattr(plugin.ActionBase, "run", lambda *_: {})
    action = object.__new__(plugin.ActionModule)
    action._task = SimpleNamespace(args=ARGUMENTS)
    calls = []

    def execute(name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        calls.append((name, module_args))
        return {"ansible_facts": {"ansible_pkg_mgr": asked}} if name == "ansible.legacy.setup" else {}

    action._execute_module = execute
    action.run(task_vars={"ansible_facts": facts})
    return calls[-1]


def test_apt_and_dnf_each_get_what_concerns_them(monkeypatch: pytest.MonkeyPatch) -> None:
    name, arguments = chosen({"pkg_mgr": "apt"}, monkeypatch)
    assert (name, sorted(arguments)) == ("apt_packages", ["kernel_modules", "packages"])
    name, arguments = chosen({"pkg_mgr": "dnf"}, monkeypatch)
    assert (name, sorted(arguments)) == ("dnf_packages", ["enable_repositories", "packages"])


def test_a_host_that_was_not_asked_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen({}, monkeypatch, asked="dnf")[0] == "dnf_packages"
    with pytest.raises(AnsibleActionFail, match="package manager is zypper"):
        chosen({}, monkeypatch, asked="zypper")
