"""What each server's exporter is told: its parts by the groups of the server, and who may read it."""

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVarsVars

from tests.roles_app import rendering
from tests.roles_app.rendering import of, render, value

MONITORS = {"monitoring": {"mon1": {"ansible_host": "192.0.2.20"}, "mon2": {"deepgram_address": "10.0.0.2"}}}


def config(*groups, servers=MONITORS, **changes):
    return value("host_metrics", "_host_metrics_content", **of(*groups, servers=servers), **changes)


def test_a_node():
    reported = config("node")
    assert reported["relays"] == {"engine": "http://127.0.0.1:9991/metrics", "node": "http://127.0.0.1:9100/metrics"}
    assert (
        reported["gpus"] is True
        and reported["apis"] == {"api": "http://127.0.0.1:8080"}
        and reported["license_proxy"] == ""
    )
    assert reported["proxy"]["members"] == "" and reported["proxy"]["servers"] == {"gpu1": "127.0.0.1:8080"}
    assert (reported["address"], reported["allow"]) == ("0.0.0.0", ["10.0.0.2", "192.0.2.20"])


def test_a_node_as_ansible_itself_has_its_variables():
    """hostvars of a run are no dict: HostVarsVars, which some filters (combine) refuse."""
    found = rendering.variables("host_metrics", **of("node", servers=MONITORS))
    seen = {name: HostVarsVars(values, DataLoader(), name) for name, values in found["hostvars"].items()}
    templar = Templar(loader=DataLoader(), variables=found | {"hostvars": seen})
    reported = templar.template(trust_as_template("{{ _host_metrics_content }}"))
    assert reported == config("node")


def test_a_node_behind_proxies_has_no_nginx():
    assert config("node", servers={**MONITORS, "proxy": {"lb1": {}}})["proxy"] == {}


def test_a_proxy_and_a_license_proxy():
    reported = config("proxy", "license_proxy")
    assert (reported["gpus"], reported["apis"]) == (False, {}) and list(reported["relays"]) == ["node"]
    assert reported["proxy"]["members"] and reported["license_proxy"] == "http://127.0.0.1:8089"


def test_another_deployment_is_looked_at_where_there_is_one():
    assert config("proxy")["proxy"]["overflow"] == ""
    reported = config("proxy", nginx_proxy_overflow_url="https://cloud.example.com")
    assert reported["proxy"]["overflow"] == "/var/lib/deepgram-upstreams/overflow.json"


def test_ports_and_addresses_of_other_roles_count():
    reported = config(
        "node", deepgram_metrics_port=9992, deepgram_api_port=8081, nginx_proxy_port=8443, host_metrics_allow=["a.test"]
    )
    assert reported["relays"]["engine"].endswith(":9992/metrics") and reported["apis"]["api"].endswith(":8081")
    assert reported["proxy"]["port"] == 8443 and reported["allow"][-1] == "a.test"


def test_of_several_engines_and_apis_each_is_asked():
    engines = [{"name": "a"}, {"name": "b"}, {"name": "turns", "profile": "flux"}]
    reported = config("node", deepgram_engines=engines)
    assert {name: url.split(":")[-1] for name, url in reported["relays"].items()} == {
        "engine-a": "9991/metrics", "engine-b": "9992/metrics", "engine-turns": "9993/metrics", "node": "9100/metrics",
    }  # fmt: skip
    assert reported["apis"] == {"api-stt": "http://127.0.0.1:8080", "api-flux": "http://127.0.0.1:8081"}
    assert reported["proxy"]["servers"] == {"gpu1/stt": "127.0.0.1:8080", "gpu1/flux": "127.0.0.1:8081"}


def test_one_server_that_watches_itself_listens_on_loopback():
    assert config("node", "monitoring", servers={})["address"] == "127.0.0.1"
    assert config("node", "monitoring", servers={}, host_metrics_allow=["192.0.2.50"])["address"] == "0.0.0.0"


@pytest.mark.parametrize(
    ("servers", "changes", "desired"),
    [({}, {}, False), (MONITORS, {}, True), ({}, {"host_metrics_allow": ["192.0.2.50"]}, True)],
)
def test_there_is_one_where_somebody_may_read_it(servers, changes, desired):
    assert value("host_metrics", "_host_metrics_wanted", **of("node", servers=servers), **changes) is desired


def test_the_node_exporter_listens_on_loopback():
    assert "--web.listen-address=127.0.0.1:9100" in render("host_metrics", "node-exporter.conf.j2", **of("node"))


def rules(*groups, servers, **changes):
    found = value("host_firewall", "host_firewall_rules", **of(*groups, servers=servers), **changes)
    return {rule["name"]: (rule["port"], rule["sources"]) for rule in found}


def test_the_firewall_lets_in_those_who_watch():
    assert rules("node", servers=MONITORS)["exporter"] == (9809, ["10.0.0.2", "192.0.2.20"])
    assert rules("proxy", servers=MONITORS, host_metrics_port=9900)["exporter"][0] == 9900
    assert rules("node", servers={}, host_metrics_allow=["192.0.2.50"])["exporter"] == (9809, ["192.0.2.50"])
    assert "exporter" not in rules("node", servers={}) and "exporter" not in rules("node", "monitoring", servers={})
