"""The tables of systems, as far as the inventory alone tells what they do not have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.validating import problems_with as problems

KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n-----END PGP PUBLIC KEY BLOCK-----\n"


@pytest.fixture(autouse=True)
def here(checkout: Path, folder: Path) -> Path:
    return folder


def test_what_some_system_has_is_no_problem() -> None:
    assert problems("nvidia_driver_source: distribution", "nvidia_driver_branch: '595'", "docker_source: docker") == []


def test_a_branch_that_the_source_has_nowhere_is_refused_with_the_nearest() -> None:
    (found,) = problems("nvidia_driver_source: distribution", "nvidia_driver_branch: '590'")
    assert found.what == "no system has a driver of branch 590 from the distribution's own packages"
    assert found.fix == 'set nvidia_driver_branch to "595" or nvidia_driver_source to nvidia'
    assert found.where == "group_vars/all/main.yml:5" and found.value == "590"


def test_a_repository_for_a_driver_that_comes_from_elsewhere_is_refused() -> None:
    (found,) = problems(
        "nvidia_driver_source: distribution", "nvidia_driver_repository_url: https://mirror.example.com/x"
    )
    assert "a repository is given for it too" in found.what and found.where == "group_vars/all/main.yml:5"


def test_unknown_sources_are_refused_with_those_there_are() -> None:
    (found,) = problems("docker_source: snap")
    assert "distribution, docker" in found.what


KEYS = [f"{role}_repository_key" for role in ("nvidia_driver", "docker", "nvidia_container_toolkit")]


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    ("value", "what"),
    [("key.asc", ""), (KEY, ""), ("none.asc", "neither a key nor a file"), ("key.gpg", "no ASCII-armored key")],
)
def test_a_key_is_text_or_a_file_with_it(name: str, value: str, what: str) -> None:
    Path("key.asc").write_text(KEY)
    Path("key.gpg").write_bytes(b"\x99\x01")
    found = problems(f"{name}: {json.dumps(value)}")
    assert [one.where for one in found] == (["group_vars/all/main.yml:4"] if what else [])
    assert not what or what in found[0].what
