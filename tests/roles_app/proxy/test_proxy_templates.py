"""What the proxy's role writes: the site, and the list of servers that its program works from."""

import re

import pytest

from tests.roles_app.rendering import render, value

GROUPS = {"node": ["gpu1", "gpu2"], "api": ["api1"], "proxy": ["lb1"], "engine": ["e1"]}
HOSTVARS = {
    "gpu1": {"ansible_host": "192.0.2.11", "deepgram_region": "eu"},
    "gpu2": {"deepgram_address": "2001:db8::2", "deepgram_profile": "flux", "deepgram_api_port": 8090},
    "api1": {},
    "lb1": {},
}
FLEET = {"groups": GROUPS, "hostvars": HOSTVARS, "inventory_hostname": "lb1"}


def nginx(version="1.26.3-3+deb13u1", **changes):
    return render(
        "nginx_proxy", "deepgram.conf.j2", __nginx_proxy_packages={"installed": {"nginx": version}}, **changes
    )


def block(text, head):
    """What stands in the first block that begins so."""
    return re.search(rf"    {re.escape(head)} {{\n(.*?)\n    }}", text, re.DOTALL)[1]


def test_a_server_on_its_own_has_itself_for_all_paths():
    for groups in ({}, {"groups": {"node": ["gpu1", "gpu2"]}}, {"groups": GROUPS}):
        (node,) = value("nginx_proxy", "nginx_proxy_nodes", deepgram_api_port=8081, **groups)
        assert node == {"name": "gpu1", "address": "127.0.0.1:8081", "profile": "all", "region": ""}
    text = nginx()
    assert set(re.findall(r"proxy_pass http://(\S+);", text)) == {
        "deepgram_all",
        "deepgram_all/v1/status",
        "127.0.0.1:9991",
    }
    assert "proxy_request_buffering off;" in text and "client_body_buffer_size" not in text
    assert "proxy_next_upstream         error timeout;" in text and 'err_code":"NOT_FOUND' not in text


def test_a_proxy_has_every_server_of_the_fleet():
    assert value("nginx_proxy", "nginx_proxy_nodes", **FLEET) == [
        {"name": "gpu1", "address": "192.0.2.11:8080", "profile": "stt", "region": "eu", "watch": "192.0.2.11:9810"},
        {
            "name": "gpu2",
            "address": "[2001:db8::2]:8090",
            "profile": "flux",
            "region": "",
            "watch": "[2001:db8::2]:9810",
        },
        {"name": "api1", "address": "api1:8080", "profile": "stt", "region": "", "watch": "api1:9810"},
    ]
    assert value("nginx_proxy", "nginx_proxy_metrics_upstream", **FLEET) == ""
    also = {**FLEET, "inventory_hostname": "gpu1", "groups": {**GROUPS, "proxy": ["gpu1"]}}
    assert value("nginx_proxy", "nginx_proxy_nodes", **also)[0]["address"] == "127.0.0.1:8080"
    assert value("nginx_proxy", "nginx_proxy_metrics_upstream", **also) == "127.0.0.1:9991"


def test_each_path_goes_to_those_who_serve_it():
    text = nginx(**FLEET)
    assert "proxy_pass http://deepgram_stt;" in block(text, "location = /v1/listen")
    assert "proxy_pass http://deepgram_stt;" in block(text, "location = /v1/read")
    assert "proxy_pass http://deepgram_flux;" in block(text, "location = /v2/listen")
    assert 'return 404 \'{"err_code"' in block(text, "location = /v1/speak")
    assert "proxy_pass http://deepgram_flux;" in block(text, "location @stream_deepgram_flux")
    assert "deepgram_aura" not in text and "deepgram_all" not in text and "/metrics" not in text


@pytest.mark.parametrize("code", [429, 503])
def test_whichever_code_a_busy_server_answers_another_one_tries(code):
    """Deepgram's pages disagree on which of them a full Engine's is."""
    ways = re.findall(r"proxy_next_upstream +(.*);", nginx(**FLEET))
    assert ways and all(f"http_{code}" in way.split() for way in ways)


def test_only_what_may_be_sent_twice_is():
    text = nginx(**FLEET)
    assert "error timeout http_429 http_503 non_idempotent;" in text and "proxy_request_buffering on;" in text
    assert "return 419;" in block(text, "location = /v1/listen")
    assert "proxy_next_upstream error timeout http_429 http_503;" in block(text, "location @once_deepgram_stt")
    unbuffered = nginx(nginx_proxy_request_buffering=False, **FLEET)
    assert "non_idempotent" not in unbuffered and "419;" not in unbuffered and "@once" not in unbuffered


def test_connections_are_kept_but_before_a_reload():
    text = nginx(**FLEET)
    assert "keepalive_timeout  75s;" in block(text, "location = /v1/listen") and "keepalive_timeout  75s;" in nginx()
    assert (
        "return 420;" in block(text, "if (-f /run/deepgram-upstreams/closing)") and "error_page 420 = @closing;" in text
    )
    assert "keepalive_timeout 0;" in block(text, "location @closing")
    assert "@closing" not in nginx(), "nobody reloads a server that is alone"
    config = value("nginx_proxy", "_nginx_proxy_config_content", nginx_proxy_port="8443", **FLEET)
    assert config["closing_s"] == 6 and config["port"] == 8443


def test_adding_a_server_leaves_the_site_as_it_is():
    more = {**FLEET, "groups": {**GROUPS, "node": ["gpu1", "gpu2", "gpu3"]}, "hostvars": {**HOSTVARS, "gpu3": {}}}
    assert nginx(**more) == nginx(**FLEET)
    assert len(value("nginx_proxy", "_nginx_proxy_config_content", **more)["nodes"]) == 4


def test_a_look_asks_one_path_of_each_profile():
    assert value("nginx_proxy", "_nginx_proxy_asked") == {"/v1/listen": ["gpu1"]}
    assert value("nginx_proxy", "_nginx_proxy_asked", deepgram_profile="flux") == {"/v2/listen": ["gpu1"]}
    asked = value("nginx_proxy", "_nginx_proxy_asked", **FLEET)
    assert asked == {"/v1/listen": ["gpu1", "api1"], "/v2/listen": ["gpu2"]}


def test_the_kernel_is_set_for_servers_elsewhere_alone():
    assert (
        value("nginx_proxy", "_nginx_proxy_far", **FLEET) is True and value("nginx_proxy", "_nginx_proxy_far") is False
    )
    assert "sysctl" in render("nginx_proxy", "deepgram-upstreams.service.j2", **FLEET)
    assert "sysctl" not in render("nginx_proxy", "deepgram-upstreams.service.j2")


def test_values_from_an_ini_file_are_text_and_come_out_typed():
    ini = {"deepgram_engine_max_active_requests": "19", "nginx_proxy_worker_connections": "100"}
    text = nginx(nginx_proxy_listen_ipv6="false", nginx_proxy_hsts_max_age_s="0", **ini)
    assert "[::]" not in text and "Strict-Transport" not in text
    assert "worker_rlimit_nofile 200;" in value("nginx_proxy", "_nginx_proxy_main_content", **ini)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({}, 0),
        ({"deepgram_engine_max_active_requests": 20}, 19),
        ({"deepgram_engine_max_active_requests": "1"}, 1),
        ({"nginx_proxy_max_connections": 7}, 7),
    ],
)
def test_proxy_stays_below_the_engines_limit(changes, limit):
    (node,) = value("nginx_proxy", "_nginx_proxy_config_content", **changes)["nodes"]
    assert node["max_connections"] == limit


def test_http2_in_the_notation_of_the_version():
    assert "http2 on;" in nginx() and "listen 443 ssl default_server;" in nginx()
    old = nginx("1:1.22.1-9")
    assert "http2 on;" not in old and "listen 443 ssl http2 default_server;" in old
    assert "http2 on;" in nginx("")


def test_only_known_paths_reach_the_api_and_only_operators_the_status():
    text = nginx(nginx_proxy_status_allow=["192.0.2.0/24"])
    exact = re.findall(r"location = (\S+)", text)
    assert exact == [
        "/v1/listen",
        "/v1/read",
        "/v2/listen",
        "/v1/speak",
        "/v2/speak",
        "/v1/agent/converse",
        "/metrics",
        "/healthz",
    ]
    closed = re.search(r"location ~ (\S+) \{\n(.*?)\n    \}", text, re.DOTALL)
    assert closed[2].split("\n")[:2] == ["        allow 192.0.2.0/24;", "        deny all;"]
    for path in ("/v1/status", "/v1/status/engine", "/v1/models", "/v1/models/1a-2b", "/v1/certificates"):
        assert re.fullmatch(closed[1].strip("^$"), path)
    assert not re.fullmatch(closed[1].strip("^$"), "/v1/status/x")


def test_log_holds_no_query():
    form = re.search(r"log_format deepgram (.*?);", nginx(), re.DOTALL)[1]
    assert "$uri" in form and not re.search(r"\$(request|request_uri|args|query_string|http_referer)\b", form)
