"""The role with a certificate of an ACME authority: what it writes, records and takes away."""

import subprocess
import sys

import pytest
import yaml

from dgctl import content
from dgctl.content import roles
from tests.roles_app.conftest import ROOT
from tests.roles_app.rendering import render, value

ACME = {
    "nginx_proxy_tls_source": "acme",
    "nginx_proxy_server_name": "speech.example.com",
    "nginx_proxy_acme_email": "ops@example.com",
    "nginx_proxy_acme_agree_tos": True,
}
DNS = {**ACME, "nginx_proxy_acme_challenge": "dns-01", "nginx_proxy_acme_dns_hook": "/hook"}
CERTIFICATE, KEY = "/etc/nginx/tls/deepgram.crt", "/etc/nginx/tls/deepgram.key"
FAMILIES = yaml.safe_load((ROOT / "roles/platform/vars/main/families.yml").read_text())["_platform_families"]
PACKAGES = {"__nginx_proxy_packages": {"installed": {"nginx": "1.26.3"}}}


def one(name, **changes):
    return value("nginx_proxy", name, **changes)


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({}, "self-signed"),
        ({"nginx_proxy_tls_certificate": "/c", "nginx_proxy_tls_key": "/k"}, "files"),
        ({"nginx_proxy_tls_certificate": "/c"}, "files"),
    ],
)
def test_without_a_word_the_source_is_what_it_was(changes, source):
    assert one("nginx_proxy_tls_source", **changes) == source
    assert one("_nginx_proxy_own_files", **changes) is (source == "files")


def test_what_renews_itself_is_in_no_record():
    """A look compares it with what is served; that it is another one than yesterday is no drift."""
    family = {"_platform_family": FAMILIES["apt"]}
    own, asked = one("_nginx_proxy_recorded", **family), one("_nginx_proxy_recorded", **family, **ACME)
    assert {CERTIFICATE, KEY} <= set(own) and set(own) - set(asked) == {CERTIFICATE, KEY}
    assert one("_nginx_proxy_due", **ACME) == []


def test_hook_and_authority_are_there_where_they_are_used_alone():
    extra = {"/etc/deepgram-acme/dns-hook", "/etc/deepgram-acme/dns-environment.json"}
    assert extra <= set(one("_nginx_proxy_acme_paths", **DNS)) and not extra & set(
        one("_nginx_proxy_acme_unused", **DNS)
    )
    assert extra <= set(one("_nginx_proxy_acme_unused", **ACME)) and not extra & set(
        one("_nginx_proxy_acme_paths", **ACME)
    )
    trusted = {**ACME, "nginx_proxy_acme_ca_file": "/ca.pem"}
    assert "/etc/deepgram-acme/authorities.pem" in one("_nginx_proxy_acme_paths", **trusted)
    assert one("_nginx_proxy_acme_content", **trusted)["ca"] and not one("_nginx_proxy_acme_content", **ACME)["ca"]


def test_the_authority_s_port_is_open_while_it_asks_over_http():
    plain = {"nginx_proxy_plain_port": 8081}
    assert one("_nginx_proxy_ports", **ACME) == [443, 80] and one("_nginx_proxy_ports", **ACME, **plain) == [
        443,
        8081,
        80,
    ]
    assert one("_nginx_proxy_ports", **DNS) == one("_nginx_proxy_ports") == [443]


def test_ports_are_opened_before_the_site_and_closed_after_it():
    """While NGINX serves an earlier site its callers still reach it, and after a run that failed before the new one too."""
    folder = ROOT / "roles/nginx_proxy/tasks"
    order = [task["name"] for task in yaml.safe_load((folder / "main.yml").read_text())]
    assert order.index("Access") < order.index("Site") < order.index("No other access")
    opened, closed = (
        next(
            task["firewalld_ports"] for task in yaml.safe_load((folder / name).read_text()) if "firewalld_ports" in task
        )
        for name in ("access.yml", "access_closed.yml")
    )
    assert opened["close"] is False and closed == {key: opened[key] for key in ("owner", "ports")}


def test_what_is_taken_away_holds_all_that_is_written():
    traces = one("_nginx_proxy_acme_traces")
    written = [
        *one("_nginx_proxy_acme_paths", **DNS, nginx_proxy_acme_ca_file="/ca.pem"),
        one("_nginx_proxy_acme_certbot"),
    ]
    assert [
        path for path in written if not any(path == trace or path.startswith(f"{trace}/") for trace in traces)
    ] == []


def test_a_secret_is_filled_in_on_the_server():
    ini = render(
        "nginx_proxy",
        "certbot.ini.j2",
        **ACME,
        nginx_proxy_acme_eab_kid="kid-1",
        nginx_proxy_acme_eab_hmac_key="hidden",
    )
    assert "hidden" not in ini and "eab-hmac-key = ${eab_hmac_key}\n" in ini and "eab-kid = kid-1\n" in ini
    assert "eab" not in render("nginx_proxy", "certbot.ini.j2", **ACME)


@pytest.mark.parametrize(
    ("more", "reload"), [({}, "systemctl"), ({"nginx_proxy_overflow_url": "https://x"}, "deepgram-upstreams")]
)
def test_nginx_is_reloaded_as_the_role_reloads_it(more, reload):
    assert reload in one("_nginx_proxy_acme_content", **ACME, **more)["reload"][0]


@pytest.mark.parametrize("changes", [{}, DNS])
def test_port_80_is_http_01_s_alone(changes):
    assert "acme-challenge" not in render("nginx_proxy", "deepgram.conf.j2", **PACKAGES, **changes)


def test_the_site_has_port_80():
    site = render(
        "nginx_proxy",
        "deepgram.conf.j2",
        **PACKAGES,
        **ACME,
        nginx_proxy_acme_names=["a.example.com", "speech.example.com"],
    )
    own = site.rpartition("\nserver {")[2]
    assert "listen 80;" in own and "listen [::]:80;" in own and "default_server" not in own
    assert "server_name a.example.com speech.example.com;" in own and "proxy_pass" not in own


@pytest.mark.parametrize(("family", "packages"), [("apt", ["certbot"]), ("dnf", [])])
def test_certbot_is_installed_where_it_is_needed(family, packages):
    known = {"_platform_family": FAMILIES[family], "_platform_nginx": ["nginx"]}
    assert one("_nginx_proxy_requested", **known) == ["nginx"]
    assert one("_nginx_proxy_requested", **known, **ACME) == ["nginx", *packages]
    assert one("_nginx_proxy_requested", **known, **ACME, nginx_proxy_acme_packages=["python3-certbot"]) == [
        "nginx",
        "python3-certbot",
    ]


def test_preflight_asks_for_what_the_role_needs():
    known = {**ACME, "preflight_parts": ["proxy"]}
    assert value("preflight", "_preflight_servers", **known)["ACME authority"] == [
        one("nginx_proxy_acme_directory_url")
    ]
    assert "ACME authority" not in value("preflight", "_preflight_servers", **known, nginx_proxy_acme_ca_file="/ca.pem")
    assert "ACME authority" not in value("preflight", "_preflight_servers", preflight_parts=["proxy"])
    ports = {entry["port"] for entry in value("preflight", "_preflight_ports", **known)}
    assert one("nginx_proxy_acme_http_port") in ports
    assert 80 not in {entry["port"] for entry in value("preflight", "_preflight_ports", **{**known, **DNS})}
    (found,) = value("preflight", "_preflight_wanted", **known)["certificates"]
    assert found["table"] == {"apt": ["certbot"], "dnf": []} and found["advice"].endswith(
        "or (EPEL has certbot: dnf install epel-release) nginx_proxy_acme_packages"
    )
    assert value("preflight", "_preflight_wanted", preflight_parts=["proxy"])["certificates"] == []


@pytest.mark.parametrize("there", [True, False])
def test_a_file_of_the_controller_may_be_one_of_one_s_home(there, tmp_path, monkeypatch):
    """As validation and the lookups have it: `~` is whose home it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("acme_dns_hook", "acme_ca_file", "client_ca", "tls_certificate", "tls_key")
    reported = {**DNS, **{f"nginx_proxy_{name}": f"~/{name}" for name in names}}
    for name in names if there else ():
        (tmp_path / name).touch()
    asserted = [
        condition
        for topic in ("acme", "certificate")
        for task in yaml.safe_load((ROOT / f"roles/nginx_proxy/tasks/{topic}.yml").read_text())
        for condition in task.get("ansible.builtin.assert", {}).get("that", [])
    ]
    of_files = [condition for condition in asserted if " is file" in condition]
    assert len(of_files) == 5 and [one(f"({condition})", **reported) for condition in of_files] == [there] * 5


def test_the_program_runs_by_itself_and_counts_with_the_role(tmp_path):
    path = tmp_path / "deepgram-acme"
    path.write_text(one("_nginx_proxy_acme_files[0].content"))
    words = [sys.executable, "-IB", path, "due", tmp_path / "none.json"]
    done = subprocess.run(words, capture_output=True, text=True, cwd="/", check=False)
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}/none.json is not there. Fix: dgctl provision\n")
    done = subprocess.run(words[:3], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "deepgram-acme renew [CONFIG]" in done.stderr
    _, plugins = roles._parts(ROOT / "roles/nginx_proxy")
    counted = {str(path.relative_to(content.utilities())) for path in plugins if content.utilities() in path.parents}
    assert {"proxy/acme/main.py", "proxy/acme/words.py", "host/whole_file.py"} <= counted
