"""to_toml: what a dictionary says is what the file says, and nothing is swallowed by a table header."""

import tomllib

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as some

from tests.roles_app.conftest import load

to_toml = load("filter", "toml").to_toml

plain = some.one_of(some.booleans(), some.integers(-(2**63), 2**63 - 1), some.floats(allow_nan=False), some.text())
values = some.recursive(
    plain,
    lambda inner: some.one_of(some.lists(inner, max_size=3), some.dictionaries(some.text(), inner, max_size=3)),
)
settings = some.dictionaries(some.text(), values, max_size=5)


@given(settings)
def test_reads_back_as_it_was(data):
    assert tomllib.loads(to_toml(data)) == data


@given(settings, some.integers(0, 9999))
def test_top_level_values_come_before_every_table(data, limit):
    lines = to_toml(
        {
            **{key: value for key, value in data.items() if isinstance(value, dict)},
            "max_active_requests": limit,
        }
    ).splitlines()
    assert lines[0] == f"max_active_requests = {limit}"


def test_nulls_and_what_they_leave_empty_are_dropped():
    assert (
        to_toml({"a": None, "b": {"c": None}, "d": {"e": 1, "f": None}, "g": [1, None]})
        == "g = [\n    1,\n]\n\n[d]\ne = 1\n"
    )
    assert to_toml({"kept": {}}) == "[kept]\n"


@pytest.mark.parametrize("wrong", ["text", ["a"], 5, None])
def test_refuses_what_is_no_dictionary(wrong):
    with pytest.raises(AnsibleFilterError, match="Fix:"):
        to_toml(wrong)


def test_names_the_place_of_what_toml_cannot_hold():
    with pytest.raises(AnsibleFilterError, match=r"settings\.a\.b\[1\] is of type set.*Fix:"):
        to_toml({"a": {"b": [1, {2}]}})


def test_links_of_both_kinds_come_out_alike_and_wrong_ones_stay_unsaid():
    model_links = load("filter", "model_links").model_links
    assert model_links([" https://h/a.dg ", {"url": "https://h/b.dg", "sha256": "AB"}, {"url": "https://h/c.dg"}]) == [
        {"url": "https://h/a.dg", "sha256": ""},
        {"url": "https://h/b.dg", "sha256": "ab"},
        {"url": "https://h/c.dg", "sha256": ""},
    ]
    for wrong in (
        [5],
        [{"link": "https://h/secret.dg"}],
        "https://h/secret.dg",
        [{"url": "https://h/secret.dg", "sha": "x"}],
    ):
        with pytest.raises(AnsibleFilterError, match="Fix:") as error:
            model_links(wrong)
        assert "secret" not in str(error.value)
