"""The reference pages say what the source says."""

import importlib.util

import pytest
import yaml

from tests.paths import PROJECT

spec = importlib.util.spec_from_file_location("generate", PROJECT / "docs/generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


@pytest.mark.parametrize("name", generate.PAGES)
def test_page_is_current(name):
    assert (PROJECT / "docs" / name).read_text() == generate.PAGES[name](), "run: python docs/generate.py"


def test_every_role_is_on_the_page():
    roles = {path.parents[1].name for path in PROJECT.glob("roles/*/defaults/main.yml")}
    assert roles == set(generate.ROLES)


@pytest.mark.parametrize("role", generate.ROLES)
def test_specs_and_defaults_are_the_same(role):
    options = yaml.safe_load((PROJECT / "roles" / role / "meta/argument_specs.yml").read_text())
    options = options["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((PROJECT / "roles" / role / "defaults/main.yml").read_text())
    assert set(defaults) | {n for n, o in options.items() if o.get("required")} == set(options)
    for name, value in defaults.items():
        assert name.startswith(f"{role}_"), name
        templated = isinstance(value, str) and "{{" in value
        if not templated and value is not None:
            assert options[name].get("default") == value, name


def test_every_check_of_the_doctor_says_what_it_looks_at_why_and_what_to_do():
    from dgctl.doctor_table import doctor

    checks = (*doctor().CHECKS, *doctor().DEEP)
    assert len({check.name for check in checks}) == len(checks)
    assert [check.name for check in checks if not (check.about and check.expected and check.cause and check.cure)] == []
