"""How many requests a proxy sends to a server at a time: what its Engines take, shared among the proxies."""

import pytest

from tests.roles_app.rendering import render, value

ROOM = "deepgram_engine_max_active_requests"
LIMIT = {ROOM: 20}


def limits(groups, hostvars=None, host="lb1", **changes):
    """Name -> limit, of one proxy's configuration."""
    hosts = {name: {} for names in groups.values() for name in names}
    fleet = {"groups": groups, "hostvars": {**hosts, **(hostvars or {})}, "inventory_hostname": host}
    content = value("nginx_proxy", "_nginx_proxy_config_content", **fleet, **{**fleet["hostvars"][host], **changes})
    return {node["name"]: node["max_connections"] for node in content["nodes"]}


def everywhere(names, **values):
    return {name: dict(values) for name in names}


def test_a_node_s_own_limit_counts():
    groups = {"node": ["gpu1", "gpu2", "gpu3"], "proxy": ["lb1"]}
    own = {"gpu1": {ROOM: 40}, "gpu2": {ROOM: "20"}, "gpu3": {}}
    assert limits(groups, own, **LIMIT) == {"gpu1": 39, "gpu2": 19, "gpu3": 0}


def test_the_settings_of_the_engine_count_before_the_variable():
    groups = {"node": ["gpu1", "gpu2"], "proxy": ["lb1"]}
    own = {
        "gpu1": {"deepgram_engine_settings": {"max_active_requests": 11}, ROOM: 40},
        "gpu2": {"deepgram_engine_settings": {"max_active_requests": None}, ROOM: 40},  # null removes the key
    }
    assert limits(groups, own) == {"gpu1": 10, "gpu2": 0}
    own["gpu2"] = {"deepgram_engine_extra_settings": {"max_active_requests": 21}, **own["gpu1"]}
    assert limits(groups, own) == {"gpu1": 10, "gpu2": 20}


def test_flux_has_a_limit_of_its_own():
    groups = {"node": ["gpu1", "gpu2", "gpu3"], "proxy": ["lb1"]}
    flux = {"deepgram_profile": "flux", ROOM: 40}
    own = {
        "gpu1": {**flux, "deepgram_flux_max_streams": 8},
        "gpu2": flux,
        "gpu3": {**flux, "deepgram_engine_settings": {"flux": {"max_streams": 5}}, "deepgram_flux_max_streams": 8},
    }
    assert limits(groups, own) == {"gpu1": 7, "gpu2": 0, "gpu3": 4}


def test_an_api_takes_what_all_its_engines_take():
    groups = {"api": ["api1", "api2"], "engine": ["e1", "e2", "e3", "f1"], "proxy": ["lb1"]}
    own = everywhere(("e1", "e2", "e3"), **LIMIT) | {"f1": {"deepgram_profile": "flux", "deepgram_flux_max_streams": 3}}
    own["e1"] = {ROOM: 11, "deepgram_region": "eu"}
    own["api1"] = {"deepgram_region": "eu"}
    assert limits(groups, own) == {"api1": 10, "api2": 10 + 19 + 19}
    own["api2"] = {"deepgram_engine_addresses": ["e2:8080", "e3:8080"], ROOM: 20}
    assert limits(groups, own)["api2"] == 38
    own["api2"] = {"deepgram_profile": "flux"}
    assert limits(groups, own)["api2"] == 2
    own["api2"] = {"deepgram_region": "us", "deepgram_region_fallback": ["eu"]}
    assert limits(groups, own)["api2"] == 10, "the Engine of the region that it falls back to"
    own["e2"] = {}
    assert limits(groups, own | {"api2": {}})["api2"] == 0, "one Engine without a limit has room for all"


@pytest.mark.parametrize("room", [1, 2, 3, 7, 20, 61])
@pytest.mark.parametrize("proxies", [1, 2, 3, 7])
def test_the_proxies_share_it_and_together_never_exceed_it(room, proxies):
    names = [f"lb{number}" for number in range(proxies)]
    groups = {"node": ["gpu1"], "proxy": names}
    shares = [limits(groups, {"gpu1": {ROOM: room}}, host=name)["gpu1"] for name in names]
    assert min(shares) >= 1 and (sum(shares) == room - 1 or set(shares) == {1})


@pytest.mark.parametrize("target", [3, 4, 5, 16, 17, 64])
@pytest.mark.parametrize("proxies", [1, 2, 3])
def test_a_target_is_divided_exactly_and_evenly(target, proxies):
    names = [f"lb{number}" for number in range(proxies)]
    groups = {"node": [f"gpu{number}" for number in range(4)], "proxy": names}
    own = everywhere(groups["node"], deepgram_target_inputs=target, **{ROOM: 70})
    shares = [limits(groups, own, host=name) for name in names]
    assert {sum(share[node] for share in shares) for node in groups["node"]} == {target}
    totals = [sum(share.values()) for share in shares]
    assert sum(totals) == 4 * target and max(totals) - min(totals) <= 2, "no proxy is the one that gets all the rests"


def test_a_target_counts_for_each_engine_and_without_a_limit():
    several = [{"name": "a", "target_inputs": 4}, {"name": "b"}]
    own = {"gpu1": {"deepgram_engines": several, "deepgram_target_inputs": 6}, "gpu2": {ROOM: 20}}
    assert limits({"node": ["gpu1", "gpu2"], "proxy": ["lb1"]}, own) == {"gpu1": 10, "gpu2": 19}


def test_proxies_of_another_region_take_no_share():
    groups = {"node": ["gpu1", "gpu2"], "proxy": ["lb1", "lb2", "lb3"]}
    own = {"gpu1": {ROOM: 41, "deepgram_region": "eu"}, "gpu2": {ROOM: 41, "deepgram_region": "us"}}
    own |= {"lb1": {"deepgram_region": "eu"}, "lb2": {"deepgram_region": "eu"}, "lb3": {"deepgram_region": "us"}}
    assert limits(groups, own) == {"gpu1": 20, "gpu2": 40}
    own["lb3"] = {}
    assert limits(groups, own) == {"gpu1": 14, "gpu2": 40}, "a proxy without a region sends to all"


def test_what_is_written_is_what_each_server_gets():
    groups = {"node": ["gpu1"], "api": ["api1"], "engine": ["e1"], "proxy": ["lb1", "lb2"]}
    for written, limit in ((7, 7), ("7", 7), (None, 0), (0, 0)):
        found = limits(groups, everywhere(("gpu1", "e1"), **LIMIT), nginx_proxy_max_connections=written)
        assert set(found.values()) == {limit}


def test_servers_that_the_inventory_does_not_know_have_this_host_s_limit():
    nodes = [{"name": "x", "address": "192.0.2.1:8080", "profile": "stt", "region": ""}]
    assert limits({"proxy": ["lb1", "lb2"]}, nginx_proxy_nodes=nodes, **LIMIT) == {"x": 10}
    nodes[0]["max_connections"] = 5
    assert limits({"proxy": ["lb1", "lb2"]}, nginx_proxy_nodes=nodes, **LIMIT) == {"x": 5}


def test_a_server_on_its_own_has_its_own_limit():
    packages = {"installed": {"nginx": "1.26.3"}}
    for more, words in (
        (LIMIT, " max_conns=19 "),
        ({"deepgram_engine_settings": {"max_active_requests": 8}}, " max_conns=7 "),
        ({"deepgram_profile": "flux", "deepgram_flux_max_streams": 6, **LIMIT}, " max_conns=5 "),
        ({"deepgram_profile": "flux", **LIMIT}, ":8080 max_fails"),
        ({"nginx_proxy_max_connections": 3, **LIMIT}, " max_conns=3 "),
    ):
        assert words in render("nginx_proxy", "deepgram.conf.j2", __nginx_proxy_packages=packages, **more), more
