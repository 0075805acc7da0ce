"""The schema of the variables: whole, sourced, and at one with defaults, comments, README, docs and the example."""

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dgctl import content
from dgctl.content import schema, specs
from dgctl.content.schema.document import document
from dgctl.content.schema.faults import faults
from tests.paths import PROJECT

VARIABLES = schema.variables(PROJECT)
PAGES = [PROJECT / "README.md", *sorted(PROJECT.glob("docs/**/*.md"))]
EXAMPLES = sorted(PROJECT.glob("inventories/example/**/*.*"))
SETTING = re.compile(r"([a-z][a-z0-9_]+)(?:=|: *)(\S.*)")


@pytest.mark.parametrize("path", sorted(PROJECT.glob("roles/*/meta/schema.yml")), ids=lambda path: path.parts[-3])
def test_every_key_is_text(path):
    """`on`, `off`, `yes` and `no` are true and false to YAML's readers, and a rule under one would never be found."""

    def keys(value):
        if isinstance(value, dict):
            yield from value
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from keys(item)

    assert [key for key in keys(content.read(path)) if not isinstance(key, str)] == []


# What YAML can hold, and what people write into it by mistake.
_LIKELY = [
    "",
    "{",
    "[::1",
    "https://[",
    "https://x:y/a",
    "a@b:c",
    "%zz",
    "/",
    "..",
    "\0",
    "\u200b",
    "٣",
    "1e9",
    "0x1",
    "10/8",
]
_SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from(_LIKELY))
_KEYS = st.one_of(
    st.text(max_size=5), st.sampled_from(["url", "sha256", "name", "port", "sources", "10de:1eb8", "api"])
)
VALUES = st.recursive(_SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3))


def own(role):
    return content.read(PROJECT / "roles" / role / "meta/schema.yml")


def defaults():
    for role in specs.role_names(PROJECT):
        yield from content.read(PROJECT / "roles" / role / "defaults/main.yml").items()


def settled(value):
    """Whether a value says something by itself: no template, and no gap for the reader to fill."""
    return not re.search(r"\{[{%]|CHANGE_ME|\.\.\.|[A-Z]{4,}_|NAME|64 hex", str(value))


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_has_a_schema_with_a_source(name):
    variable = VARIABLES[name]
    Draft202012Validator.check_schema(variable.schema)
    assert variable.schema.get("source") or variable.schema.get("type") == "boolean", f"{name}: no form, and no source"
    assert variable.must != "another value"


@pytest.mark.parametrize("role", [role for role in specs.role_names(PROJECT) if role != "platform"])
def test_every_role_describes_its_variables_and_no_others(role):
    options = content.read(PROJECT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert set(own(role)) == set(options)


def test_a_variable_that_another_names_is_one():
    for name, variable in VARIABLES.items():
        others = [*variable.schema.get("at_most", {}), *variable.schema.get("with", [])]
        address = variable.schema.get("listens", {}).get("address", "")
        others += [address] if "_" in address else []
        assert [other for other in others if other not in VARIABLES] == [], name


def test_every_default_is_right():
    wrong = [(name, fault) for name, value in defaults() if settled(value) for fault in faults(VARIABLES[name], value)]
    assert wrong == []


def test_what_a_comment_says_of_0_and_empty_is_allowed():
    texts = [path.read_text() for path in PROJECT.glob("roles/*/defaults/main.yml")]
    zeros = [name for text in texts for name in re.findall(r"^#[^\n]*\b0(?: s|:| is| gives)[^\n]*\n(\w+):", text, re.M)]
    empty = [name for text in texts for name in re.findall(r'^(\w+): "" +#[^\n]*\bempty:', text, re.M)]
    empty += [name for text in texts for name in re.findall(r'^#[^\n]*\bempty:?[^\n]*\n(\w+): ""', text, re.M)]
    assert {"nginx_proxy_hsts_max_age_s", "deepgram_hung_stop_s", "deepgram_min_serving"} <= set(zeros) and len(
        empty
    ) > 9
    assert [(name, fault) for name in zeros for fault in faults(VARIABLES[name], 0)] == []
    assert [(name, fault) for name in empty for fault in faults(VARIABLES[name], "")] == []


def fenced(text, kinds):
    return "\n".join(re.findall(rf"```(?:{kinds})\n(.*?)```", text, re.DOTALL))


def written():
    """(page, name, value) of every setting of a known variable that a page or the example shows."""
    for path in [*PAGES, *EXAMPLES]:
        text = path.read_text()
        inline = re.findall(r"`([^`\n]+)`", text) if path.suffix == ".md" else []
        shown = fenced(text, "ini") if path.suffix == ".md" else text
        words = [word for line in shown.splitlines() for word in line.removeprefix("# ").split("  ")[0].split(" ")]
        lines = [*inline, *(word for word in words if "=" in word)]
        if path.suffix != ".md":
            lines += [line.removeprefix("# ") for line in shown.splitlines()]
        for line in lines:
            found = SETTING.fullmatch(line.strip())
            if found and found[1] in VARIABLES and settled(found[2]):
                yield path.name, found[1], yaml.safe_load(found[2])
        for name, value in (yaml.safe_load(fenced(text, "yaml")) or {}).items() if path.suffix == ".md" else ():
            yield path.name, name, value


def test_every_setting_that_the_docs_show_is_right():
    found = list(written())
    assert len(found) > 25, "the pattern finds no settings any more"
    assert [name for _, name, _ in found if name not in VARIABLES] == []
    assert [(page, fault) for page, name, value in found for fault in faults(VARIABLES[name], value)] == []


def test_editors_get_the_same_schema():
    plain = Draft202012Validator(document(PROJECT))
    assert list(plain.iter_errors(dict(defaults()))) == []
    for wrong in ({"deepgram_api_port": 70000}, {"deepgram_api_prot": 1}, {"deepgram_models_links": "https://x/a.dg"}):
        assert not plain.is_valid(wrong), wrong
    assert plain.is_valid(
        {"site_note": "mine", "deepgram_api_port": "{{ own_port }}", "nginx_proxy_max_connections": None}
    )


@settings(max_examples=1000, deadline=None)
@given(name=st.sampled_from(sorted(VARIABLES)), value=VALUES)
def test_no_value_breaks_the_schema(name, value):
    for fault in faults(VARIABLES[name], value):
        assert name in fault.what and fault.fix
