"""host_audit: what listens, who may read a secret, how old a certificate is."""

import pytest

from tests import certificates
from tests.roles_app.conftest import load

MODULE = load("modules", "host_audit")
# The columns of `ss -Hltunp` as iproute2 6.1 prints them (ss(8)), with the programs of a server.
SS = """\
udp   UNCONN 0      0            127.0.0.53%lo:53        0.0.0.0:*    users:(("systemd-resolve",pid=390,fd=13))
tcp   LISTEN 0      511                0.0.0.0:443       0.0.0.0:*    users:(("nginx",pid=9,fd=6),("nginx",pid=8,fd=6))
tcp   LISTEN 0      4096             127.0.0.1:8080      0.0.0.0:*    users:(("docker-proxy",pid=77,fd=7))
tcp   LISTEN 0      511                   [::]:443          [::]:*    users:(("nginx",pid=9,fd=7))
tcp   LISTEN 0      128                      *:22              *:*
"""
# docs.docker.com/reference/cli/docker/container/ls: Ports, `0.0.0.0:80->80/tcp, [::]:80->80/tcp`; Podman leaves 0.0.0.0 out.
PS = """\
deepgram-engine 127.0.0.1:9991->9991/tcp, 0.0.0.0:8081->8080/tcp, [::]:8081->8080/tcp
deepgram-api 127.0.0.1:8080->8080/tcp
other 6379/tcp
bare
"""


def test_what_listens():
    found = MODULE.listeners(SS)
    assert [(row["protocol"], row["address"], row["port"], row["program"]) for row in found] == [
        ("tcp", "*", 22, ""),
        ("tcp", "0.0.0.0", 443, "nginx"),
        ("tcp", "::", 443, "nginx"),
        ("tcp", "127.0.0.1", 8080, "docker-proxy"),
        ("udp", "127.0.0.53", 53, "systemd-resolve"),
    ]
    assert MODULE.listeners("") == [] and MODULE.listeners("what is\nthis\n") == []


def test_what_is_published():
    found = [(row["container"], row["address"], row["port"], row["inside"]) for row in MODULE.published(PS)]
    assert found == [
        ("deepgram-engine", "127.0.0.1", "9991", "9991/tcp"),
        ("deepgram-engine", "0.0.0.0", "8081", "8080/tcp"),
        ("deepgram-engine", "::", "8081", "8080/tcp"),
        ("deepgram-api", "127.0.0.1", "8080", "8080/tcp"),
    ]


@pytest.mark.parametrize(("mode", "others"), [(0o600, False), (0o640, True), (0o604, True), (0o400, False)])
def test_who_may_read_a_secret(tmp_path, mode, others):
    path = tmp_path / "key"
    path.write_text("a secret")
    path.chmod(mode)
    found = MODULE.secret(str(path))
    assert (found["mode"], found["others"], found["owner"]) == (
        f"{mode:04o}",
        others,
        "root" if path.owner() == "root" else path.owner(),
    )
    assert "a secret" not in str(found) and MODULE.secret(str(tmp_path / "none")) is None


def test_a_certificate(tmp_path):
    problems, path = [], certificates.made(tmp_path, "gpu1", days=40)
    found = MODULE.certificate(str(path), problems)
    assert found["self_signed"] and 39 <= found["days_left"] <= 40 and "gpu1" in found["subject"] and problems == []
    path.write_text("torn")
    found = MODULE.certificate(str(path), problems)
    assert found["days_left"] is None and not found["self_signed"] and "openssl x509" in problems[0]
    assert MODULE.certificate(str(tmp_path / "none"), problems) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"containers": []}', '{"containers": {"a": {}}}'])
def test_a_torn_record_of_images_is_said(tmp_path, text):
    (tmp_path / "images.json").write_text(text)
    problems = []
    assert MODULE.images([str(tmp_path / "images.json"), str(tmp_path / "none")], problems) == {} and len(problems) == 1


def test_models_are_as_they_were_recorded(tmp_path):
    record, problems = tmp_path / ".sha256.json", []
    record.write_text('{"a.dg": {"sha256": "ab", "size": 5, "mtime_ns": 1}}')
    assert MODULE.models([str(record), str(tmp_path / "none")], problems) == {"a.dg": "ab"} and problems == []
    record.write_text('{"a.dg": 5}')
    assert MODULE.models([str(record)], problems) == {} and len(problems) == 1


def test_what_is_there_is_listed_and_what_is_not_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    key, none = tmp_path / "key.env", str(tmp_path / "none")
    key.write_text("KEY=a secret")
    found = MODULE.gather(
        {
            "engine": "docker",
            "secrets": [str(key), none],
            "certificates": [none],
            "images": [],
            "models": [],
            "firewall": "",
        }
    )
    assert [row["path"] for row in found["secrets"]] == [str(key)] and found["certificates"] == []


def test_without_anything_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = MODULE.gather(
        {"engine": "docker", "secrets": ["/nowhere"], "certificates": [], "images": [], "models": [], "firewall": "/no"}
    )
    assert found["listens"] == [] and found["firewall"] is None and found["problems"][0].startswith("ss: ")
