"""Each role's argument specs and defaults say the same."""

import pytest
import yaml

from tests.paths import PROJECT

ROLES = sorted(path.parents[1].name for path in PROJECT.glob("roles/*/tasks/main.yml"))


def read(role, part):
    return yaml.safe_load((PROJECT / "roles" / role / part).read_text())


@pytest.mark.parametrize("role", ROLES)
def test_specs_are_the_defaults(role):
    defaults = read(role, "defaults/main.yml")
    options = read(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    required = {name for name, option in options.items() if option.get("required")}
    assert set(options) - required == set(defaults) - required
    assert {name: options[name].get("default") for name in defaults} == defaults
    assert all(option["description"] and option["type"] for option in options.values())


@pytest.mark.parametrize("role", ROLES)
def test_names_carry_the_role(role):
    assert [name for name in read(role, "defaults/main.yml") if not name.startswith(role + "_")] == []
