"""Which checks a host gets, by its groups; and where its test requests go."""

from pathlib import Path

import pytest

from dgctl.deployment.deployment import Deployment, Host, load
from dgctl.deployment.vault import VaultOptions
from dgctl.verify import suite, topology

STT = "https://m/nova-3-general.en.batch.1.dg"


def fleet(**hosts):
    """A deployment of these hosts: name to its groups, or (groups, variables)."""
    made, groups = {}, {}
    for name, reported in hosts.items():
        names, variables = reported if isinstance(reported, tuple) else (reported, {})
        parts = ["engine", "api"] if "node" in names else [one for one in ("engine", "api") if one in names]
        made[name] = Host(
            name, "127.0.0.1", names, {"ansible_connection": "local", "deepgram_parts": parts} | variables
        )
        for group in names:
            groups.setdefault(group, []).append(name)
    return Deployment(Path("inventory.ini"), made, list(made), groups)


def groups(deployment, name):
    return set(topology.groups(deployment, deployment.hosts[name], topology.asked(deployment).get(name)))


def test_a_node_alone_is_everything_and_has_its_own_tls():
    assert groups(fleet(gpu1=["node"]), "gpu1") == {"node", "api", "engine", "tls"}


def test_behind_a_proxy_only_the_proxy_has_tls():
    made = fleet(gpu1=["node"], a1=["api"], e1=["engine"], lb=["proxy"], both=["node", "proxy"], lic=["license_proxy"])
    assert groups(made, "gpu1") == {"node", "api", "engine"}
    assert groups(made, "a1") == {"api"} and groups(made, "e1") == {"engine", "engine_only"}
    assert groups(made, "lb") == {"proxy", "tls"} and "tls" in groups(made, "both")
    assert groups(made, "lic") == {"license_proxy", "license-proxy"}
    assert made.hosts["lb"].parts == [] and made.hosts["lic"].parts == ["license-proxy"]


def test_a_proxy_is_asked_what_the_servers_behind_it_transcribe():
    flux = (["node"], {"deepgram_profile": "flux"})
    stt = (["node"], {"deepgram_profile": "stt", "deepgram_models_links": [STT]})
    made = fleet(f=flux, s=stt, lb=["proxy"])
    of_both = topology.desired_state(made, made.hosts["lb"])
    assert (of_both["speech"], of_both["flux"]) == ({"batch": "nova-3-general"}, "flux-general-en")
    assert topology.desired_state(made, made.hosts["s"])["flux"] is None
    only = fleet(f=flux, lb=["proxy"])
    assert topology.desired_state(only, only.hosts["lb"])["deepgram_profile"] == "flux"


@pytest.mark.parametrize(
    ("kind", "there", "not_there"),
    [
        (
            ["node"],
            {"driver.loaded", "api.health", "transcription.file", "containers.running.api"},
            {"tls.trusted", "transcription.engine", "transcription.engines"},
        ),
        (
            ["api"],
            {"api.health", "transcription.file", "transcription.engines", "config.same_file.api"},
            {"driver.loaded", "engine.on_the_gpu", "transcription.engine"},
        ),
        (
            ["engine"],
            {"driver.loaded", "engine.on_the_gpu", "models.files", "transcription.engine"},
            {"api.health", "transcription.file", "transcription.engines"},
        ),
        (["proxy"], {"tls.trusted", "transcription.file", "upstreams.members_up"}, {"api.health", "driver.loaded"}),
        (["billing"], {"billing.journal", "containers.running.billing"}, {"api.health", "license_proxy.state"}),
        (["license_proxy"], {"license_proxy.state", "containers.running.license-proxy"}, {"api.health", "tls.trusted"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_each_kind_of_host_gets_its_checks(kind, there, not_there, progress, tmp_path):
    """The real suite, on hosts that cannot be reached: its checks are skipped, and by name are these."""
    missing = {"ansible_connection": "ssh", "ansible_port": 1, "ansible_user": "nobody"}
    asks = {"deepgram_engine_addresses": {"api": ["e1:8080"], "node": ["engine:8080"]}.get(kind[0], [])}
    made = fleet(missing=(kind, missing | asks), e1=["engine"], lb=["proxy"])
    checks = {found.check for found in suite.run(made, ["missing"], progress, tmp_path / "log")}
    assert there <= checks and not not_there & checks
    part = {"api": "engine", "engine": "api"}.get(kind[0])
    assert not [name for name in checks if part and name.endswith(f".{part}")]


INVENTORY = """\
[engine]
e1 ansible_host=192.0.2.1 deepgram_region=eu
e2 ansible_host=192.0.2.2 deepgram_region=us deepgram_engine_port=9443
e3 ansible_host=192.0.2.3 deepgram_address=2001:db8::3 deepgram_region=us
f1 ansible_host=192.0.2.9 deepgram_profile=flux
[api]
a1 ansible_host=192.0.2.11
us ansible_host=192.0.2.12 deepgram_region=us
own ansible_host=192.0.2.13
[node]
n1 ansible_host=192.0.2.8
"""


def test_who_asks_whom_is_what_the_role_renders(tmp_path, monkeypatch):
    """As tests/roles_app/deepgram/test_parts.py has it of api.toml."""
    (tmp_path / "inventory.ini").write_text(INVENTORY)
    elsewhere = '{"driver_pool": {"standard": [{"url": "https://192.0.2.1:8080/v2"}, {"url": "https://lb.test/v2"}]}}'
    own = tmp_path / "host_vars/own/main.yml"
    own.parent.mkdir(parents=True)
    own.write_text(f"deepgram_api_settings: {elsewhere}\n")
    made = load(tmp_path / "inventory.ini", VaultOptions())
    asked = topology.asked(made)
    assert asked == {
        "a1": {"192.0.2.1:8080": "e1", "192.0.2.2:9443": "e2", "[2001:db8::3]:8080": "e3"},
        "us": {"192.0.2.2:9443": "e2", "[2001:db8::3]:8080": "e3"},
        "own": {"192.0.2.1:8080": "e1", "lb.test": ""},
        "n1": {"engine:8080": "n1"},
    }
    remote = {name for name, host in made.hosts.items() if "remote_engines" in groups(made, name)}
    alone = {name for name, host in made.hosts.items() if "engine_only" in groups(made, name)}
    assert (remote, alone) == ({"a1", "us", "own"}, {"e1", "e2", "e3", "f1"})
    assert suite._asked_by(made, asked)["e2"] == {"a1": "192.0.2.2:9443", "us": "192.0.2.2:9443"}
    assert "f1" not in suite._asked_by(made, asked) and "n1" not in suite._asked_by(made, asked)
