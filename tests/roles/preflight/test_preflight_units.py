"""A masked unit is named with the command that unmasks it, before a role fails to start it."""

import pytest
from ansible.module_utils.preflight import units as preflight_units


@pytest.fixture
def systemd(program):
    """systemd(unit=state, ...): what systemctl says of the units that it is asked for."""

    def be(**states):
        cases = "".join(f"{unit}.service) state={state};;" for unit, state in states.items())
        loop = (
            f'case "$unit" in {cases} *) state=enabled;; esac; printf "Id=%s\\nUnitFileState=%s\\n\\n" "$unit" "$state"'
        )
        program("systemctl", f'shift 3; for unit in "$@"; do {loop}; done\n')

    return be


def test_what_is_needed_where():
    node = preflight_units.needed({"proxy", "api", "engine"}, "docker", ["engine", "api"], True)
    assert {"nginx.service", "docker.service", "deepgram.service", "nvidia-persistenced.service"} <= set(node)
    assert preflight_units.needed({"proxy"}, "docker", [], True) == ["nginx.service"]
    behind = preflight_units.needed({"api", "engine"}, "podman", ["engine", "api"], False)
    assert behind == ["deepgram-engine.service", "deepgram-api.service"]


def test_with_podman_each_of_several_engines_has_its_unit():
    several = preflight_units.needed(
        {"api", "engine"}, "podman", ["engine-a", "engine-turns", "api-stt", "api-flux"], False
    )
    assert several == [f"deepgram-{name}.service" for name in ("engine-a", "engine-turns", "api-stt", "api-flux")]


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_what_stands_alone_has_a_unit_with_either_engine(engine):
    found = preflight_units.needed({"license_proxy"}, engine, ["license-proxy"], False)
    assert "deepgram-license-proxy.service" in found and "deepgram.service" not in found


def test_a_masked_unit_is_named_with_the_command(systemd):
    systemd(nginx="masked", docker="masked-runtime")
    found = preflight_units.masked(["nginx.service", "docker.service", "deepgram.service"])
    assert [(one["verdict"], one["seen"]) for one in found] == [
        ("fail", "nginx.service is masked"),
        ("fail", "docker.service is masked-runtime"),
    ]
    assert "`systemctl unmask nginx.service`" in found[0]["fix"]
    assert "`systemctl unmask --runtime docker.service`" in found[1]["fix"]


def test_where_all_may_be_started_nothing_is_said(systemd, program):
    systemd()
    assert preflight_units.masked(["nginx.service"]) == []
    program("systemctl", "echo 'System has not been booted with systemd' >&2; exit 1\n")
    assert preflight_units.masked(["nginx.service"]) == []
    assert preflight_units.masked([]) == []
