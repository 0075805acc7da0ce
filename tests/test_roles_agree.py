"""Rules that hold over all roles, playbooks and plugins."""

import re

import pytest
import yaml

from tests.paths import PROJECT

DEFAULTS = {path.parents[1].name: path for path in sorted(PROJECT.glob("roles/*/defaults/main.yml"))}
SHIPPED = [
    path
    for folder in ("roles", "playbooks", "plugins", "dgctl")
    for path in sorted((PROJECT / folder).rglob("*"))
    if path.suffix in {".yml", ".py", ".j2", ".sh"}
]
FALLBACK = re.compile(r"(\w+) \| default\(([^()]*)\)")


def fallbacks():
    """(file, variable of another role, the default it is given there)."""
    owners = {name: role for role, path in DEFAULTS.items() for name in yaml.safe_load(path.read_text())}
    for role, path in DEFAULTS.items():
        for name, value in FALLBACK.findall(path.read_text()):
            if owners.get(name, role) != role:
                yield f"{role}: {name}", name, owners[name], value


@pytest.mark.parametrize(("where", "name", "owner", "value"), list(fallbacks()))
def test_default_is_the_owner_s_default(where, name, owner, value):
    own = yaml.safe_load(DEFAULTS[owner].read_text())[name]
    assert yaml.safe_load(value) == own or (value in ("omit", "none") and own is None), where


def test_there_are_cross_references_to_compare():
    assert len(list(fallbacks())) >= 5


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(PROJECT)))
def test_nothing_that_is_shipped_knows_the_lab(path):
    assert not re.search(r"\b(lab|stand-?ins?|simulat\w*|mock\w*|fake\w*)\b", path.read_text(), re.I)


@pytest.mark.parametrize("path", sorted(PROJECT.glob("roles/*/tasks/*.yml")), ids=lambda p: "/".join(p.parts[-3:]))
def test_task_files_are_small_and_honest(path):
    text = path.read_text()
    assert "ignore_errors" not in text
    assert text.count("\n") <= 80
