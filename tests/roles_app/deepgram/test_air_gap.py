"""Behind an air gap: whom each part asks for a licence, with which key, and what Billing's role writes.

Sources: github: deepgram/self-hosted-resources @ d78df52, charts/deepgram-self-hosted/templates (api, engine,
license-proxy and billing) and samples/airgapped.md.
"""

import configparser
import json
import tomllib

import pytest
import yaml

from tests.roles_app.rendering import of, render, value

BILLING = {"billing": {"bl1": {"ansible_host": "192.0.2.20"}}}
TWO = {
    "billing": {"bl1": {"ansible_host": "192.0.2.20"}, "bl2": {"deepgram_address": "2001:db8::2", "billing_port": 9443}}
}
PROXY = {**BILLING, "license_proxy": {"lp1": {"ansible_host": "192.0.2.9"}}}
KEY = {"deepgram_license_key": "licence-key-1"}
MARK = "${DEEPGRAM_LICENSE_KEY}"
IMAGE = {"images": {"billing": {"reference": "q/billing@sha256:1"}}}


def config(name, servers, **changes):
    known = {**of("node", servers=servers), **KEY, **changes}
    return tomllib.loads(render("deepgram", "config.toml.j2", item=name, **known))


@pytest.mark.parametrize("part", ["api", "engine"])
@pytest.mark.parametrize(
    ("servers", "asked"),
    [
        (BILLING, ["https://192.0.2.20:8443"]),
        (TWO, ["https://192.0.2.20:8443", "https://[2001:db8::2]:9443"]),
        (PROXY, ["https://192.0.2.9:8443"]),  # chart 0.47.0 (GH #190): through the proxy, and nobody beside it
    ],
)
def test_apis_and_engines_ask_nobody_outside(part, servers, asked):
    assert config(part, servers)["license"] == {"server_url": asked, "key": MARK}


def test_without_billing_nothing_is_other_than_before():
    assert config("api", {})["license"] == {"server_url": ["https://license.deepgram.com"]}
    assert value("deepgram", "_deepgram_secrets")[0]["content"] == "DEEPGRAM_API_KEY=abc123"
    assert value("deepgram", "_deepgram_fill") == {}
    assert value("deepgram", "_deepgram_toml_rights") == {}


def test_the_key_of_the_licence_is_in_files_of_root_alone_and_nowhere_else():
    known = {**of("node", servers=BILLING), **KEY}
    assert value("deepgram", "_deepgram_toml_rights", **known) == {"mode": "0600", "owner": 0}
    for name in ("api", "engine"):
        text = render("deepgram", "config.toml.j2", item=name, **known)
        assert MARK in text and "licence-key-1" not in text
    assert value("deepgram", "_deepgram_fill", **known) == {"DEEPGRAM_LICENSE_KEY": "licence-key-1"}
    assert value("deepgram", "_deepgram_secrets", **known)[0]["content"] == "DEEPGRAM_API_KEY=airgapped-mode"
    assert "licence-key-1" not in json.dumps(value("deepgram", "_deepgram_config", **known))


def test_another_user_of_the_images_may_read_the_key():
    known = {**of("node", servers=BILLING), **KEY, "deepgram_license_key_owner": "1000"}
    assert int(value("deepgram", "_deepgram_toml_rights", **known)["owner"]) == 1000
    assert int(value("license_proxy", "_license_proxy_rights", **known)["owner"]) == 1000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (KEY, ""),
        ({"deepgram_license_key": ""}, "deepgram_license_key is empty"),
        ({"deepgram_license_key": "a b"}, "deepgram_license_key is empty, or holds a space"),
        ({**KEY, "deepgram_api_key": ""}, ""),  # nobody reads it behind an air gap
    ],
)
def test_what_cannot_work_is_named(changes, words):
    for role in ("deepgram", "license_proxy"):
        found = value(role, f"_{role}_problems", **{**of("node", servers=BILLING), **changes})
        assert [words in one and "Fix:" in one for one in found] == [True] * bool(words), (role, found)


def test_a_license_proxy_asks_billing_in_text_and_the_proxies_one_each():
    servers = {**TWO, "license_proxy": {"lp1": {}, "lp2": {}, "lp3": {}}}
    found = []
    for name in servers["license_proxy"]:
        known = {**of(host=name, servers=servers), "group_names": ["license_proxy"], **KEY}
        text = render("license_proxy", "license-proxy.toml.j2", **known)
        found.append(tomllib.loads(text)["license"])
        assert value("license_proxy", "_license_proxy_api_key", **known) == "airgapped-mode"
        assert value("license_proxy", "_license_proxy_rights", **known) == {"mode": "0600", "owner": 0}
        assert "licence-key-1" not in text
        assert value("license_proxy", "_license_proxy_fill", **known) == {"DEEPGRAM_LICENSE_KEY": "licence-key-1"}
    first, second = "https://192.0.2.20:8443", "https://[2001:db8::2]:9443"
    assert [one["server_url"] for one in found] == [first, second, first] and {one["key"] for one in found} == {MARK}


def test_a_license_proxy_without_an_air_gap_has_the_api_key():
    assert value("license_proxy", "_license_proxy_api_key") == "abc123"
    assert value("license_proxy", "_license_proxy_rights") == value("license_proxy", "_license_proxy_fill") == {}


@pytest.fixture
def licence(tmp_path):
    path = tmp_path / "license.dg"
    path.write_text('{"licence": "signed"}\n')
    return {**of("billing"), "billing_license_file": str(path), "__billing_images": IMAGE}


def test_billing_toml_is_the_official_one(licence):
    assert tomllib.loads(render("billing", "billing.toml.j2", **licence)) == {
        "license": {"file": "/license/license.dg", "journal": "/journal/journal"},
        "server": {"host": "0.0.0.0", "port": 8443, "base_url": "/", "certificates_port": 8080},
    }
    fips = tomllib.loads(render("billing", "billing.toml.j2", **licence, deepgram_fips="true"))
    assert fips["fips"] == {"mode": "enabled"}
    own = tomllib.loads(render("billing", "billing.toml.j2", **licence, billing_extra_settings={"own": 1}))
    assert own["own"] == 1


def test_docker_mounts_the_licence_to_read_and_the_journal_to_write(licence):
    reported = yaml.safe_load(render("billing", "compose.yaml.j2", **licence))["services"]["billing"]
    assert reported["command"] == ["serve", "--config", "/config/billing.toml"]
    assert reported["volumes"] == [
        "/etc/deepgram-billing/billing:/config:ro",
        "/etc/deepgram-billing/license:/license:ro",
        "/var/lib/deepgram-billing/journal:/journal",
    ]
    assert reported["ports"] == ["0.0.0.0:8443:8443", "127.0.0.1:8090:8080"]
    assert "env_file" not in reported and reported["environment"] == {
        "DEEPGRAM_DEPLOYMENT_ORCHESTRATOR": "docker-compose"
    }


def test_podman_says_the_same(licence):
    text = render("billing", "deepgram-billing.container.j2", **licence, deepgram_container_engine="podman")
    parser = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    parser.read_string(text)
    assert (
        "Volume=/var/lib/deepgram-billing/journal:/journal:z\n" in text
        and "SecurityLabelDisable" not in text
        and "EnvironmentFile" not in text
    )
    assert "Exec=serve --config /config/billing.toml\n" in text and "PublishPort=127.0.0.1:8090:8080\n" in text


def test_only_root_reads_the_licence_and_the_journal(licence):
    rights = {one["path"]: one.get("mode") for one in value("billing", "_billing_directories", **licence)}
    assert rights["/var/lib/deepgram-billing/journal"] == rights["/etc/deepgram-billing/license"] == "0700"
    assert value("billing", "_billing_license_text", **licence) == '{"licence": "signed"}'
    text = render("billing", "compose.yaml.j2", **licence) + render("billing", "billing.toml.j2", **licence)
    assert "signed" not in text
    assert "/var/lib/deepgram-billing/journal" in value("billing", "_billing_files", **licence)
    assert all("journal" not in path for path in value("billing", "_billing_absent", **licence))


@pytest.mark.parametrize(
    ("text", "words"), [('{"a": 1}\n', ""), ("", "is an empty file"), ("{\n}\n", "has more than one line")]
)
def test_a_licence_file_is_one_line(licence, tmp_path, text, words):
    (tmp_path / "license.dg").write_text(text)
    found = value("billing", "_billing_problems", **licence)
    assert [words in one and "Fix:" in one for one in found] == [True] * bool(words)


@pytest.mark.parametrize("path", ["/var/lib/deepgram", "/var/lib/deepgram/journal", "/etc/deepgram/journal"])
def test_the_journal_lies_where_nothing_is_wiped(licence, path):
    (problem,) = value("billing", "_billing_problems", **licence, billing_journal_dir=path)
    assert path in problem and "--wipe" in problem
    assert value("billing", "_billing_problems", **licence, billing_journal_dir="/var/lib/deepgram-billing") == []


def test_billing_without_a_licence_file_is_refused():
    (problem,) = value("billing", "_billing_problems", **of("billing"))
    assert "billing_license_file is empty" in problem and "Fix:" in problem
