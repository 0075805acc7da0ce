"""Templates that many hosts share are compiled once, and mean on each what they mean there."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from jinja2 import Environment

from dgctl.deployment import compiled, references, rendering
from tests.unit.validating import read

HOSTS = 12
INVENTORY = "[node]\n" + "".join(f"gpu{n} number={n}\n" for n in range(HOSTS))
VARIABLES = """\
deepgram_release: release-260812
twice: "{{ number | int * 2 }}"
deepgram_verify_model: "{{ twice }} and {{ twice }}"
deepgram_verify_language: "#jinja2: variable_start_string:'[%', variable_end_string:'%]'\\n[% number %] {{ number }}"
deepgram_api_port: "{{ hostvars['gpu0'].number }}"
deepgram_address: "{{ 'a\\\\\\\\b' }}"
deepgram_registry: "{{ nobody_has_this }}"
deepgram_profile: "{{ number"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("inventory.ini").write_text(INVENTORY)
    Path("group_vars").mkdir()
    Path("group_vars/all.yml").write_text(VARIABLES)
    return tmp_path


def test_each_host_has_its_own_values(folder: Path) -> None:
    hosts = read().hosts
    for number in range(HOSTS):
        found = hosts[f"gpu{number}"].vars
        assert found["deepgram_verify_model"] == f"{2 * number} and {2 * number}" and found["deepgram_api_port"] == 0
        assert found["deepgram_verify_language"] == f"{number} {{{{ number }}}}"
        assert (
            "nobody_has_this" in hosts[f"gpu{number}"].unrendered["deepgram_registry"]
            and "deepgram_profile" in hosts[f"gpu{number}"].unrendered
        )


def test_it_is_what_it_is_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = read().hosts
    monkeypatch.setattr(compiled, "once", lambda *words: nullcontext())
    apart = read().hosts
    assert {name: (host.vars, host.unrendered) for name, host in shared.items()} == {
        name: (host.vars, host.unrendered) for name, host in apart.items()
    }


def test_more_hosts_are_no_more_compilations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    own = Environment._parse
    monkeypatch.setattr(Environment, "_parse", lambda *words, **more: counts.append(1) or own(*words, **more))
    forget(monkeypatch)
    read()
    many = len(counts)
    Path("inventory.ini").write_text("[node]\ngpu0 number=0\n")
    counts.clear()
    forget(monkeypatch)
    read()
    one = len(counts)
    # What cannot be compiled, and what has settings of its own, is compiled for each.
    assert many - one <= 4 * HOSTS
    assert one > 10
    counts.clear()
    read()
    assert len(counts) <= 4, "what a process has read once, it reads and compiles no more"


def test_a_role_s_default_that_changes_is_read_again(root: Path, folder: Path) -> None:
    defaults = root / "roles/preflight/defaults/main.yml"
    for cores in (4, 16):
        defaults.write_text(f"preflight_min_cpu_cores: {cores}\n")
        assert read().hosts["gpu0"].vars["preflight_min_cpu_cores"] == cores


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process has compiled and read."""
    monkeypatch.setattr(rendering, "_PROGRAMS", {})
    references._read.cache_clear()


def test_jinja_is_as_before_afterwards() -> None:
    before = Environment.compile
    with pytest.raises(ZeroDivisionError), compiled.once():
        assert Environment.compile is not before
        raise ZeroDivisionError
    assert Environment.compile is before


def test_another_syntax_is_another_template() -> None:
    other = Environment(variable_start_string="[[", variable_end_string="]]")
    with compiled.once():
        texts = [one.from_string("{{ 1 }} [[ 2 ]]").render() for one in (Environment(), other, Environment())]
    assert texts == ["1 [[ 2 ]]", "{{ 1 }} 2", "1 [[ 2 ]]"]
