"""What the preflight asks of a host follows from its groups."""

import pytest

from tests.roles_app.rendering import of, value

OTHERS = {"proxy": {"lb": {}}}
LINKS = {"deepgram_models_links": ["https://m/a.dg"]}


def asked(name, *groups, servers=None, **changes):
    return value("preflight", name, **of(*groups, servers=servers), **LINKS, **changes)


@pytest.mark.parametrize(
    ("groups", "servers", "parts"),
    [
        (["node"], {}, ["engine", "api", "proxy"]),
        (["node"], OTHERS, ["engine", "api", "watch"]),
        (["node", "proxy"], {}, ["engine", "api", "proxy", "watch"]),
        (["engine"], OTHERS, ["engine"]),
        (["api"], OTHERS, ["api", "watch"]),
        (["api"], {}, ["api", "proxy"]),
        (["proxy"], {}, ["proxy"]),
        (["license_proxy"], OTHERS, ["license_proxy"]),
        (["billing"], OTHERS, ["billing"]),
    ],
)
def test_parts(groups, servers, parts):
    assert asked("preflight_parts", *groups, servers=servers) == parts


def test_a_proxy_needs_neither_gpu_nor_registry_nor_models():
    assert asked("_preflight_images", "proxy") == [] and asked("_preflight_models", "proxy") == []
    assert asked("_preflight_servers", "proxy") == {}
    assert [port["port"] for port in asked("_preflight_ports", "proxy")] == [443]
    assert asked("_preflight_usual", "proxy")["gpu_count"] == 0


def test_an_api_needs_its_image_and_the_licence():
    assert asked("_preflight_images", "api", servers=OTHERS) == ["self-hosted-api"]
    assert list(asked("_preflight_servers", "api", servers=OTHERS)) == ["licence server"]
    ports = [(port["port"], port["address"]) for port in asked("_preflight_ports", "api", servers=OTHERS)]
    assert ports == [(8080, "0.0.0.0")]
    assert asked("_preflight_usual", "api", servers=OTHERS)["memory_mb"] == 15000


def test_an_engine_alone_publishes_its_port_and_a_node_does_not():
    ports = {port["service"]: port["address"] for port in asked("_preflight_ports", "engine", servers=OTHERS)}
    assert ports == {"deepgram_engine_port": "0.0.0.0", "deepgram_metrics_port": "127.0.0.1"}
    services = [port["service"] for port in asked("_preflight_ports", "node")]
    assert services == ["nginx_proxy_port", "deepgram_api_port", "deepgram_metrics_port"]
    assert asked("_preflight_images", "node") == ["self-hosted-engine", "self-hosted-api"]
    assert asked("_preflight_models", "engine") == LINKS["deepgram_models_links"]


def test_the_journal_has_room_where_billing_runs():
    assert asked("_preflight_journal", "billing", billing_journal_dir="/srv/journal") == {
        "directory": "/srv/journal",
        "minimum_gb": 1,
    }
    assert asked("_preflight_journal", "license_proxy") == asked("_preflight_journal", "node") == {}


def test_a_license_proxy():
    assert asked("_preflight_images", "license_proxy") == ["self-hosted-license-proxy"]
    assert [port["port"] for port in asked("_preflight_ports", "license_proxy")] == [8443, 8089]
    assert asked("_preflight_mark", "license_proxy") == "/etc/deepgram-license-proxy/images.json"
    upstream = ["https://licence.example.com"]
    servers = asked("_preflight_servers", "license_proxy", deepgram_license_upstream=upstream)
    assert servers == {"licence server": upstream}


def test_billing_needs_nobody_outside():
    assert asked("_preflight_images", "billing") == ["self-hosted-billing"]
    assert [port["port"] for port in asked("_preflight_ports", "billing")] == [8443, 8090]
    assert asked("_preflight_mark", "billing") == "/etc/deepgram-billing/images.json"
    assert asked("_preflight_usual", "billing")["gpu_count"] == 0
    for group in ("billing", "license_proxy", "node"):
        found = asked("_preflight_servers", group, servers={"billing": {"bl1": {}}})
        assert "licence server" not in found, group


def test_the_units_that_may_not_be_masked_follow_the_containers():
    assert asked("_preflight_components", "node") == ["engine", "api"]
    assert asked("_preflight_components", "engine") == ["engine"] and asked("_preflight_components", "proxy") == []
    several = [
        {"name": "a", "gpus": ["nvidia.com/gpu=0"]},
        {"name": "turns", "profile": "flux", "gpus": ["nvidia.com/gpu=1"]},
    ]
    found = asked("_preflight_components", "node", deepgram_engines=several)
    assert found == ["engine-a", "engine-turns", "api-stt", "api-flux"]
    assert asked("_preflight_components", "license_proxy") == ["license-proxy"]
    assert asked("_preflight_components", "billing") == ["billing"]
