"""The role's files as Prometheus, Alertmanager and systemd read them: their own programs say whether they can."""

import json
import shutil
import subprocess

import pytest
import yaml

from dgctl.content import roles
from tests.roles_app.rendering import of, render, value

FLEET = of("monitoring", host="mon1", servers={"node": {"gpu1": {"ansible_host": "192.0.2.11"}}})
TOLD = {
    "monitoring_mail_to": ["ops@example.com"],
    "monitoring_mail_from": "dgctl@example.com",
    "monitoring_mail_server": "mail.example.com:587",
    "monitoring_webhook_urls": ["https://hooks.example.com/s3cr3t"],
}


def alertmanager(**changes):
    return value("monitoring", "_monitoring_alertmanager", **FLEET, **changes)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (package prometheus)")
def test_prometheus_takes_its_configuration(tmp_path):
    config = value("monitoring", "_monitoring_config", **FLEET)
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(config | {"rule_files": []}))))
    done = subprocess.run(["promtool", "check", "config", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("amtool"), reason="amtool is not installed (package prometheus-alertmanager)")
@pytest.mark.parametrize(
    "reported", [{}, TOLD, TOLD | {"monitoring_mail_username": "u", "monitoring_mail_password": "p{{ 1 }}"}]
)
def test_alertmanager_takes_its_configuration(tmp_path, reported):
    path = tmp_path / "alertmanager.json"
    path.write_text(json.dumps(alertmanager(**reported)))
    done = subprocess.run(["amtool", "check-config", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_who_is_told():
    (nobody,) = alertmanager()["receivers"]
    assert nobody["email_configs"] == [] == nobody["webhook_configs"]
    (everyone,) = alertmanager(**TOLD)["receivers"]
    (mail,), (hook,) = everyone["email_configs"], everyone["webhook_configs"]
    assert (mail["to"], mail["smarthost"]) == (
        "ops@example.com",
        "mail.example.com:587",
    ) and "auth_username" not in mail
    assert hook == {"url": "https://hooks.example.com/s3cr3t", "send_resolved": True}
    (everyone,) = alertmanager(**TOLD, monitoring_mail_username="u", monitoring_mail_password="p")["receivers"]
    assert everyone["email_configs"][0]["auth_password"] == "p"


def test_only_root_and_alertmanager_read_the_passwords():
    (secret,) = value("monitoring", "_monitoring_secrets", **FLEET, **TOLD)
    plain = value("monitoring", "_monitoring_config", **FLEET, **TOLD)
    assert "s3cr3t" in secret["content"] and "s3cr3t" not in json.dumps(plain)
    assert (secret["mode"], secret["group"]) == ("0640", "prometheus")
    assert "\n" not in secret["content"], "a secret file has one line"


@pytest.mark.parametrize("template", ["prometheus.conf.j2", "alertmanager.conf.j2"])
def test_both_listen_on_loopback_alone(template):
    words = render("monitoring", template, **FLEET).split()
    addresses = [word for word in words if "listen-address" in word]
    assert addresses[0].startswith("--web.listen-address=127.0.0.1:")
    assert addresses[1:] in ([], ["--cluster.listen-address="]), "its own default is every address"


def test_prometheus_keeps_to_its_budget():
    text = render("monitoring", "prometheus.conf.j2", **FLEET, monitoring_disk_gb=7, monitoring_retention_days=3)
    assert "--storage.tsdb.retention.size=7GB" in text and "--storage.tsdb.retention.time=3d" in text


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"node": ["gpu1"]}, {"Figures": {"gpu1"}, "Monitoring": set(), "Host firewall": {"gpu1"}}),
        (
            {"node": ["gpu1"], "proxy": ["lb1"]},
            {"Figures": {"gpu1", "lb1"}, "Monitoring": set(), "Host firewall": {"gpu1"}},
        ),
        (
            {"node": ["gpu1"], "proxy": ["lb1"], "monitoring": ["mon1"]},
            {"Figures": {"gpu1", "lb1", "mon1"}, "Monitoring": {"mon1"}, "Host firewall": {"gpu1", "lb1", "mon1"}},
        ),
    ],
)
def test_where_the_roles_run(groups, expected):
    plays = {play.name: play.among(groups) for play in roles.plays()}
    assert {name: plays[name] for name in expected} == expected
