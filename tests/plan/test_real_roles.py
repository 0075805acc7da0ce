"""Which of the real roles a changed variable runs: no more than those that make something of its value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dgctl import content
from dgctl.content import roles
from dgctl.plan import reasons
from dgctl.plan.desired import Desired
from tests.paths import PROJECT
from tests.unit.validating import read

INVENTORY = """\
[node]
gpu1 ansible_host=10.0.0.11
gpu2 ansible_host=10.0.0.12
[proxy]
edge1 ansible_host=10.0.0.21
[all:vars]
ansible_user=ops
deepgram_release=release-260812
nginx_proxy_server_name=stt.example.com
"""
# Restarting these, or what follows them, takes a node out of service.
BELOW_DEEPGRAM = {"nvidia_driver", "docker", "nvidia_container_toolkit"}
EVERY = [path.parent.name for path in sorted((PROJECT / "roles").glob("*/tasks"))]


@pytest.fixture(autouse=True)
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(content, "root", lambda: PROJECT)
    (tmp_path / "group_vars/all").mkdir(parents=True)
    (tmp_path / "group_vars/all/main.yml").write_text(
        "deepgram_models_links: [https://models.example.com/nova-3-general.en.streaming.dg]\n"
    )
    (tmp_path / "group_vars/all/changed.yml").write_text("{}\n")  # Ansible lists a folder once in a process
    (tmp_path / "group_vars/all/vault.yml").write_text("deepgram_api_key: key-of-the-tests\n")
    (tmp_path / "inventory.ini").write_text(INVENTORY)
    return tmp_path / "inventory.ini"


def of(host: str) -> dict[str, str]:
    """Role -> fingerprint."""
    deployment = read()
    return {role: each["fingerprint"] for role, each in Desired(deployment).of(deployment.hosts[host]).items()}


def run_by(variables: str, host: str = "gpu1") -> set[str]:
    """The roles of a host whose fingerprint another value of these variables changes."""
    before = of(host)
    assert before.keys() >= ({"nginx_proxy"} if host == "edge1" else BELOW_DEEPGRAM)
    Path("group_vars/all/changed.yml").write_text(variables)
    after = of(host)
    return {role for role in before if before[role] != after[role]}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ("deepgram_engine_max_active_requests: 50", {"deepgram"}),
        ("deepgram_log_format: Json", {"deepgram"}),
        ("docker_log_max_size: 1m", {"docker"}),
        ("nvidia_driver_branch: '595'", {"nvidia_driver"}),
    ],
)
def test_a_variable_runs_the_role_that_uses_it_and_none_below(variables: str, expected: set[str]) -> None:
    found = run_by(variables)
    assert expected <= found
    assert not found & BELOW_DEEPGRAM - expected


@pytest.mark.parametrize("profile", ["stt", "flux", "aura", "flux_tts"])
def test_a_variable_of_a_product_that_is_not_served_runs_nothing(profile: str, inventory: Path) -> None:
    inventory.write_text(inventory.read_text() + f"deepgram_profile={profile}\n")
    others = {
        "flux": "deepgram_flux_max_streams: 7\ndeepgram_flux_model: flux-general-multi\n",
        "aura": "deepgram_aura_max_batch_size: 3\ndeepgram_aura_language: es\n",
        "flux_tts": "deepgram_flux_tts_max_batch_size: 3\n",
        "agent": "deepgram_agent_eot_timeout_ms: 3600\n",
    }
    own = others.pop(profile, "")
    assert run_by("".join(others.values())) == set()
    assert not own or "deepgram" in run_by(own)


def test_an_agent_s_variables_count_with_those_of_the_product_that_its_engine_runs_as(inventory: Path) -> None:
    inventory.write_text(inventory.read_text() + "deepgram_profile=agent\ndeepgram_agent_kind=flux\n")
    assert run_by("deepgram_aura_max_batch_size: 3") == set()
    assert "deepgram" in run_by("deepgram_flux_max_streams: 7")
    assert "deepgram" in run_by("deepgram_agent_eot_timeout_ms: 3600")


def test_a_limit_of_the_nodes_runs_the_proxies_role_which_divides_it() -> None:
    assert "nginx_proxy" in run_by("deepgram_engine_max_active_requests: 50", "edge1")


def test_a_proxy_hears_of_a_product_s_limit_where_a_node_serves_it(inventory: Path) -> None:
    assert run_by("deepgram_flux_max_streams: 7", "edge1") == set()
    inventory.write_text(
        inventory.read_text().replace("ansible_host=10.0.0.12", "ansible_host=10.0.0.12 deepgram_profile=flux")
    )
    assert "nginx_proxy" in run_by("deepgram_flux_max_streams: 9", "edge1")


@pytest.mark.parametrize("role", EVERY)
def test_a_filter_counts_with_the_one_that_it_loads(role: str) -> None:
    """Each filter file in a role's closure brings those that it names by `with_name`."""
    _, plugins = roles._parts(PROJECT / "roles" / role)
    names = {path.name for path in plugins}
    for path in plugins:
        if "with_name(" in path.read_text():
            assert "deepgram_topology.py" in names, f"{path} loads it"


def test_what_is_read_of_other_servers_is_said_without_digests() -> None:
    desired = {"content": "a", "variables": {"other servers": "4" * 64}}
    seen = {"content": "a", "variables": {"other servers": "d" * 64}}
    (reason,) = reasons._changes(seen, desired)
    assert "ddd" not in json.dumps(reason.as_dict()) and reason.subject == "other servers"
