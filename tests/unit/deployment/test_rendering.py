"""Hosts share what templates make of the variables that they share, and what each sees is what Ansible would show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dgctl.deployment import rendering
from dgctl.deployment.deployment import Deployment
from dgctl.deployment.references import Reading, References
from tests.unit.validating import read

KNOWN = ("deepgram_region", "deepgram_release", "deepgram_verify_language", "deepgram_api_port", "deepgram_address")
OWN = ("site", "rack", "label")
LEAF = "leaf"  # no template: names that only the rendering knows lead to it, since a loop of theirs ends anyhow
MAGIC = ("inventory_hostname", "group_names", "ansible_host")
# What roles make of these, of groups and of other hosts.
DEFAULTS = (
    "deepgram_address",
    "preflight_release",
    "nginx_proxy_nodes",
    "host_firewall_rules",
    "deepgram_license_servers",
)
TEXTS = st.sampled_from(["", "plain", "release-260812", "8080", "{{", "{% if %}", "{{ 1 | no_such_filter }}"])
EXPRESSIONS = (
    "{{ %s }}",
    "a {{ %s }} b",
    "{{ %s | default('none') }}",
    "{{ %s is defined and %s }}",
    "{% set x = %s %}{{ x }}{{ site | default('') }}",
    "{% for each in [%s] %}{{ each }}{% endfor %}",
    "{{ [%s, {'k': rack | default(1)}] }}",
    "{{ vars['leaf'] | default(%s) }}",
    "{{ hostvars[inventory_hostname]['leaf'] | default(%s) }}",
    "{{ hostvars['h1'].leaf | default(%s) }}",
    "{{ groups['one'] | default([]) | reject('equalto', %s) | list }}",
    "{{ lookup('ansible.builtin.vars', 'leaf', default=%s) }}",
    "{{ '{{ site }}' if %s is defined else '' }}",
    "{{ ansible_facts.x | default(%s) }}",
    "#jinja2: variable_start_string:'[%', variable_end_string:'%]'\n[% %s %]",
)


@st.composite
def templates(draw: st.DrawFn) -> Any:
    name = draw(st.sampled_from([*KNOWN, *OWN, *MAGIC, LEAF, "nobody"]))
    form = draw(st.sampled_from(EXPRESSIONS))
    return form.replace("%s", name)


VALUES = st.one_of(TEXTS, st.integers(0, 2), st.booleans(), st.none(), templates(), templates())
VALUES = st.one_of(VALUES, st.lists(VALUES, max_size=2), st.dictionaries(st.sampled_from(["k", "{{ site }}"]), VALUES))
VARIABLES = st.dictionaries(st.sampled_from([*KNOWN, *OWN]), VALUES, max_size=5)
VARIABLES = st.tuples(VARIABLES, st.sampled_from([{}, {LEAF: 1}, {LEAF: "two"}])).map(lambda both: both[0] | both[1])
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # the examples are small, and shrinking them takes minutes
HOSTS = ("h1", "h2", "h3", "h4")


def write(every: dict[str, Any], groups: list[dict[str, Any]], hosts: list[dict[str, Any]]) -> None:
    lines = ["[one]", "h1 ansible_host=192.0.2.1", "h2 ansible_host=192.0.2.2", "[two]", "h2", "h3", "[node]", *HOSTS]
    Path("inventory.ini").write_text("\n".join(lines) + "\n")
    for folder, names, variables in (
        ("group_vars", ("all", "one", "two"), [every, *groups]),
        ("host_vars", HOSTS, hosts),
    ):
        Path(folder).mkdir(exist_ok=True)
        for name, each in zip(names, variables, strict=True):
            Path(f"{folder}/{name}.yml").write_text(yaml.safe_dump(each))


def reported(found: Deployment) -> dict[str, Any]:
    return {
        name: (
            {each: host.vars[each] for each in (*host.written, *DEFAULTS)},
            host.unrendered,
            {each: found.where(host, each) for each in host.written},
            host.address,
        )
        for name, host in found.hosts.items()
    }


# Not at random: with two references a variable to variables that lead back, Ansible itself takes exponential time.
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=PHASES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(VARIABLES, st.lists(VARIABLES, min_size=2, max_size=2), st.lists(VARIABLES, min_size=4, max_size=4))
def test_shared_is_what_each_host_has_alone(
    tmp_path: Path, every: dict[str, Any], groups: list[dict[str, Any]], hosts: list[dict[str, Any]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        write(every, groups, hosts)
        shared = reported(read())
        own = References.of  # all of it, for each host, by Ansible; the names tell a ring
        patch.setattr(References, "of", lambda self, value: Reading(steady=False, names=own(self, value).names))
        assert shared == reported(read())


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is rendered from now on."""
    found: list[Any] = []
    own = rendering.Rendering._rendered
    monkeypatch.setattr(
        rendering.Rendering,
        "_rendered",
        lambda self, name, value, seen: found.append(value) or own(self, name, value, seen),
    )
    return found


def test_what_all_hosts_see_is_rendered_once(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = {"deepgram_region": "{{ site }}-1", "site": "{{ rack | default('east') }}"}
    write(every, [{}, {}], [{}, {}, {}, {"rack": "west"}])
    found = rendered(monkeypatch)
    hosts = read().hosts
    assert [host.vars["deepgram_region"] for host in hosts.values()] == ["east-1", "east-1", "east-1", "west-1"]
    assert found.count("{{ site }}-1") == 2
    lists = [host.vars["deepgram_license_servers"] for host in hosts.values()]
    assert lists[0] == ["https://license.deepgram.com"] and all(each is lists[0] for each in lists)


COUNT = "{{ lookup('ansible.builtin.pipe', 'echo x >>FOLDER/ran; wc -l <FOLDER/ran') }}"


@pytest.mark.parametrize(
    "template",
    [COUNT, "{{ 1000000000 | random }}", "{{ [1000000000] | map('random') | first }}", "{{ now().timestamp() }}"],
)
def test_what_may_differ_each_time_is_rendered_for_each_host(alone: Path, template: str) -> None:
    site = template.replace("FOLDER", str(alone))
    write({"deepgram_region": "{{ site }}", "site": site}, [{}, {}], [{}, {}, {}, {}])
    assert len({host.vars["deepgram_region"] for host in read().hosts.values()}) == 4


def test_hostvars_that_lead_to_a_lookup_are_rendered_for_each_host(alone: Path) -> None:
    site = COUNT.replace("FOLDER", str(alone))
    write({"deepgram_region": "{{ hostvars['h1'].site }}"}, [{}, {}], [{"site": site}, {}, {}, {}])
    assert len({host.vars["deepgram_region"] for host in read().hosts.values()}) == 4


def test_a_default_is_rendered_when_somebody_asks(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write({}, [{}, {}], [{}, {}, {}, {}])
    found = rendered(monkeypatch)
    host = read().hosts["h1"]
    assert not found
    assert host.vars["nginx_proxy_server_name"] == "h1" and len(found) == 1
    assert "hostvars" not in host.vars and host.vars.get("groups") is None


def deeper(frames: int, call: Callable[[], Any]) -> Any:
    return deeper(frames - 1, call) if frames else call()


@pytest.mark.timeout(120)  # where Python's stack ended within Ansible's handling of an error, this took hours
@pytest.mark.parametrize("frames", range(0, 60, 3))
def test_a_ring_ends_wherever_the_stack_begins(alone: Path, frames: int) -> None:
    ring = {f"v{n}": f"{{{{ v{(n + 1) % 14} | default(1) }}}}{{{{ v{(n + 2) % 14} | default(2) }}}}" for n in range(14)}
    write({**ring, "deepgram_region": "{{ v0 }}"}, [{}, {}], [{}, {}, {}, {}])
    host = deeper(frames, read).hosts["h1"]
    assert deeper(frames, lambda: host.vars["deepgram_region"]) == "{{ v0 }}"
    assert "recursive loop: v0 -> v1 -> v2 -> " in host.unrendered["deepgram_region"]


@pytest.mark.parametrize("frames", range(0, 60, 20))
def test_a_chain_that_ansible_can_follow_is_followed(alone: Path, frames: int) -> None:
    chain = {f"v{n}": f"{{{{ v{n + 1} }}}}" for n in range(60)} | {"v60": "east"}
    write({**chain, "deepgram_region": "{{ v0 }}"}, [{}, {}], [{}, {}, {}, {}])
    host = deeper(frames, read).hosts["h1"]
    assert host.vars["deepgram_region"] == "east"
