"""The action plugin: what it adds on the controller, and what it keeps to itself."""

import importlib.util
import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from tests.paths import PROJECT


def _name(role, full):
    """As ansible-core's Role.get_name of a role in a collection (2.19, playbook/role/__init__.py)."""
    return f"dgctl.selfhosted.{role}" if full else role


@pytest.fixture
def act(monkeypatch, tmp_path):
    """act(arguments, variables, role, check) -> (result, arguments that the module got or None)."""
    spec = importlib.util.spec_from_file_location("applied_action", PROJECT / "plugins/action/applied_state.py")
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})

    def go(arguments, variables=None, role="docker", check=False):
        got = []
        action = plugin.ActionModule.__new__(plugin.ActionModule)
        named = role and SimpleNamespace(get_name=lambda include_role_fqcn=True: _name(role, include_role_fqcn))
        action._task = SimpleNamespace(args=arguments, check_mode=check, _role=named)
        action._templar = SimpleNamespace(template=lambda text: text)

        def execute(name, module_args, task_vars):
            assert name == "applied_state"
            got.append(module_args)
            return {"changed": False, "invocation": {"module_args": module_args}}

        action._execute_module = execute
        result = action.run(task_vars={"inventory_hostname": "gpu1", **(variables or {})})
        return result, got[0] if got else None

    return go


@pytest.fixture
def variables(tmp_path):
    """Variables as dgctl sets them."""
    desired = {"fingerprint": "f1", "content": "c", "variables": {"docker_x": 443}}
    (tmp_path / "gpu1.json").write_text(json.dumps({"roles": {"docker": desired}, "begin": ["docker", "podman"]}))
    return {"applied_state_dir": str(tmp_path)}


def test_role_host_and_what_was_wanted(act, variables):
    result, got = act({"files": ["/a"], "role": "forged", "desired": "forged"}, variables)
    assert (got["role"], got["host"], got["files"]) == ("docker", "gpu1", ["/a"])
    assert json.loads(got["desired"]) == {"fingerprint": "f1", "content": "c", "variables": {"docker_x": 443}}
    assert result == {"changed": False}


def test_a_role_that_dgctl_did_not_ask_for(act, variables):
    assert json.loads(act({}, variables, role="other")[1]["desired"]) == {}


def test_without_dgctl(act):
    assert json.loads(act({})[1]["desired"]) == {}
    assert act({"state": "begun"}, role=None)[1] == {"state": "begun", "host": "gpu1"}


def test_begun(act, variables):
    assert act({"state": "begun"}, variables, role=None)[1]["begin"] == ["docker", "podman"]


def test_check_mode_asks_the_host_nothing(act):
    assert act({}, check=True) == ({"changed": False}, None)


def test_outside_a_role(act):
    with pytest.raises(AnsibleActionFail, match=r"not in a role\. Fix: make it the last task"):
        act({}, role=None)


def test_no_document_for_the_host(act, tmp_path):
    with pytest.raises(AnsibleActionFail, match=r"gpu1\.json cannot be read: .* Fix: run dgctl again"):
        act({}, {"applied_state_dir": str(tmp_path)})
