"""Defaults, argument specs and the values that cross from one role to another agree."""

import re

import pytest
import yaml

from .conftest import ROOT

ROLES = ["deepgram_models", "deepgram", "nginx_proxy", "host_firewall", "node_watch", "host_metrics", "monitoring"]


def read(role, part):
    path = ROOT / "roles" / role / part
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def text_without_space(value):
    return re.sub(r"\s+", " ", value).strip() if isinstance(value, str) else value


@pytest.mark.parametrize("role", ROLES)
def test_specs_and_defaults_agree(role):
    options = read(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = read(role, "defaults/main.yml")
    optional = {
        name: text_without_space(spec.get("default")) for name, spec in options.items() if not spec.get("required")
    }
    assert optional == {name: text_without_space(value) for name, value in defaults.items()}
    assert all(name.startswith(f"{role}_") for name in options) and all(
        spec["description"] for spec in options.values()
    )


@pytest.mark.parametrize("role", ROLES)
def test_every_default_has_a_comment_before_it(role):
    lines = (ROOT / "roles" / role / "defaults/main.yml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[a-z_]+:", line):
            before = [text for text in lines[max(0, number - 2) : number]]
            assert any(text.startswith("# ") for text in before), f"{role}: {line} has no comment"


def test_values_used_across_roles_are_the_other_roles_defaults():
    roles = [path.name for path in (ROOT / "roles").iterdir()]
    known = {name: (role, value) for role in roles for name, value in read(role, "defaults/main.yml").items()}
    used = [
        path for part in ("roles/*/defaults/*.yml", "roles/*/vars/*.yml", "playbooks/*.yml") for path in ROOT.glob(part)
    ]
    checked = 0
    for path in used:
        for name, given in re.findall(r"(\w+) \| default\(([^()]*)\)", path.read_text()):
            role, value = known.get(name, (None, None))
            if role and role not in path.parts and not str(value).startswith("{{"):
                desired = None if given.partition(",")[0] in ("none", "omit") else yaml.safe_load(given)
                assert value == desired, (
                    f"{path.relative_to(ROOT)}: {name} falls back to {given}, its default is {value}"
                )
                checked += 1
    assert checked > 5, "the pattern finds no cross-role use any more"
