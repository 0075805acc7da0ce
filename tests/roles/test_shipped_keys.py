"""The repositories' signing keys that role platform ships: each is what its name says, and of use."""

from pathlib import Path

import pytest
import yaml
from ansible.module_utils import openpgp

from tests.paths import PROJECT

KEYS = sorted((PROJECT / "roles/platform/files/keys").glob("*.asc"))


@pytest.mark.parametrize("path", KEYS, ids=lambda path: path.stem)
def test_a_key_is_the_one_that_its_name_says_alone(path: Path) -> None:
    assert openpgp.fingerprints(openpgp.dearmor(path.read_bytes())) == [path.stem]


def test_every_key_is_named_by_a_table() -> None:
    systems = (PROJECT / "roles/platform/vars/main/systems.yml").read_text()
    toolkit = yaml.safe_load((PROJECT / "roles/nvidia_container_toolkit/defaults/main.yml").read_text())
    named = systems + toolkit["nvidia_container_toolkit_repository_key_fingerprint"]
    assert KEYS and [path.stem for path in KEYS if path.stem not in named] == []
