"""The repositories' signing keys that role platform ships: each is what its name says, and of use."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ansible.module_utils.packages import openpgp
from ansible.plugins.action import ActionBase

from tests.paths import PROJECT

SPEC = importlib.util.spec_from_file_location("key_action", PROJECT / "plugins/action/package_source.py")
package_source = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(package_source)

KEYS = sorted((PROJECT / "roles/platform/files/keys").glob("*.asc"))


@pytest.mark.parametrize("path", KEYS, ids=lambda path: path.stem)
def test_a_key_is_the_one_that_its_name_says_alone(path: Path) -> None:
    assert openpgp.fingerprints(openpgp.dearmor(path.read_bytes())) == [path.stem]


def test_every_key_is_named_by_a_table() -> None:
    systems = (PROJECT / "roles/platform/vars/main/systems.yml").read_text()
    toolkit = yaml.safe_load((PROJECT / "roles/nvidia_container_toolkit/defaults/main.yml").read_text())
    named = systems + toolkit["nvidia_container_toolkit_repository_key_fingerprint"]
    assert KEYS and [path.stem for path in KEYS if path.stem not in named] == []


@pytest.mark.parametrize(("given", "got"), [("", KEYS[0].read_text()), ("a key", "a key")])
def test_the_module_gets_a_key_that_is_shipped_unless_one_is_given(monkeypatch, given: str, got: str) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})
    action = package_source.ActionModule.__new__(package_source.ActionModule)
    action._task = SimpleNamespace(args={"fingerprint": KEYS[0].stem, "key_text": given})
    monkeypatch.setattr(
        action, "_execute_module", lambda name, module_args, task_vars: {name: module_args}, raising=False
    )
    assert action.run()["package_source"] == {"fingerprint": KEYS[0].stem, "key_text": got}
    assert package_source.shipped("0" * 40) == ""
