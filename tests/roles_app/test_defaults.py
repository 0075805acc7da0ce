"""Defaults, argument specs and the values that cross from one role to another agree."""

import re

import pytest
import yaml

from .conftest import ROOT

ROLES = ["deepgram_models", "deepgram", "nginx_proxy"]


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
    known = {
        name: value
        for role in (ROOT / "roles").iterdir()
        for name, value in read(role.name, "defaults/main.yml").items()
    }
    used = [
        *(ROOT / "roles").glob("*/defaults/main.yml"),
        *(ROOT / "roles").glob("*/vars/main.yml"),
        *(ROOT / "playbooks").glob("*.yml"),
    ]
    for path in used:
        for name, given in re.findall(r"(\w+) \| default\(([^()]*)\)", path.read_text()):
            if name in known and not str(known[name]).startswith("{{"):
                wanted = {"none": None}.get(given, yaml.safe_load(given))
                assert known[name] == wanted, (
                    f"{path.relative_to(ROOT)}: {name} falls back to {given}, its default is {known[name]}"
                )
