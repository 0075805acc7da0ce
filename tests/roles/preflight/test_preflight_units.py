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
    node = preflight_units.needed({"proxy", "api", "engine"}, "docker", True)
    assert {"nginx.service", "docker.service", "deepgram.service", "nvidia-persistenced.service"} <= set(node)
    assert preflight_units.needed({"proxy"}, "docker", True) == ["nginx.service"]
    behind = preflight_units.needed({"api", "engine"}, "podman", False)
    assert behind == ["deepgram-engine.service", "deepgram-api.service"]


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
