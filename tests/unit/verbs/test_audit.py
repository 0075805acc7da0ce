"""`dgctl audit`: for whom a port is, what is unpinned, what a reviewer should worry about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dgctl.deployment import callers, deployment, vault
from dgctl.deployment.deployment import Deployment
from dgctl.output import audit_text
from dgctl.plan import audit as asked
from dgctl.validation.context import Context
from dgctl.verbs import audit
from tests.unit.conftest import write
from tests.unit.validating import add

SECRET = {
    "path": "/etc/deepgram/deepgram.env",
    "mode": "0600",
    "owner": "root",
    "group": "root",
    "age_days": 3,
    "others": False,
}
IMAGE = "quay.io/deepgram/self-hosted-engine@sha256:"


@pytest.fixture(autouse=True)
def here(root: Path, folder: Path) -> Path:
    return folder


def loaded(inventory: str = "[node]\ngpu1 ansible_host=192.0.2.11\n") -> Deployment:
    Path("inventory.ini").write_text(inventory)
    return deployment.load(Path("inventory.ini"), vault.VaultOptions())


def status(**changes: Any) -> dict[str, Any]:
    return {
        "listens": [{"protocol": "tcp", "address": "0.0.0.0", "port": 443, "program": "nginx"}],
        "published": [{"container": "deepgram-api", "address": "127.0.0.1", "port": "8080", "inside": "8080/tcp"}],
        "secrets": [SECRET],
        "certificates": [],
        "images": {"deepgram-engine": IMAGE + "a" * 64},
        "models": {"nova-3.dg": "c" * 64},
        "firewall": True,
        "problems": [],
        **changes,
    }


@pytest.mark.parametrize(
    ("more", "reported"),
    [
        (
            "nginx_proxy_tls_source: acme\nnginx_proxy_acme_http_port: 443\nnginx_proxy_port: 8443\n",
            "whoever reaches it, for an ACME authority's questions alone",
        ),
        ("nginx_proxy_acme_http_port: 443\nnginx_proxy_port: 8443\n", "whoever reaches it"),
        ("", "whoever reaches it"),
        ("nginx_proxy_callers: keys\n", "callers with a key (0 keys)"),
        ("nginx_proxy_allow: [192.0.2.0/24]\n", "whoever reaches it, from 192.0.2.0/24"),
    ],
)
def test_for_whom_the_proxy_is(more: str, reported: str) -> None:
    add(more)
    found = loaded()
    seen = status()
    audit.add(found.hosts["gpu1"], Context(found, {}), seen, found.inventory)
    assert seen["listens"][0]["for"] == reported and seen["published"][0]["for"] == "this server alone"


@pytest.mark.parametrize(
    ("firewall", "reported"),
    [
        (True, "192.0.2.5"),
        (False, "whoever reaches it: the firewall is not in force"),
        (None, "whoever reaches it: the firewall is not in force"),
    ],
)
def test_for_whom_an_api_behind_a_proxy_is(firewall: bool | None, reported: str) -> None:
    found = loaded("[node]\ngpu1 ansible_host=192.0.2.11\n[proxy]\nlb1 ansible_host=192.0.2.5\n")
    row = {"address": "0.0.0.0", "port": "8080"}
    assert asked.audience(found.hosts["gpu1"], set(), row, firewall) == reported


def test_what_is_unpinned() -> None:
    found = "\n".join(asked.unpinned(loaded().hosts["gpu1"], Path("inventory.ini")))
    assert "images: " in found and "models without sha256: nova-3.dg" in found and "newest of branch" in found
    add("ansible_ssh_common_args: -o StrictHostKeyChecking=no\nnvidia_driver_version: 580.95.05\n")
    found = "\n".join(asked.unpinned(loaded().hosts["gpu1"], Path("inventory.ini")))
    assert "any host key is believed" in found and "newest of branch" not in found


def test_where_secrets_lie_on_this_machine() -> None:
    write(Path(".vault_pass"), "hush\n", 0o600)
    found = {row["path"]: row for row in asked.of_controller(loaded())}
    assert found["group_vars/all/vault.yml"]["encrypted"] is False and found[".vault_pass"]["mode"] == "0600"
    assert "key-of-the-unit-tests" not in str(found) and "hush" not in str(found)


def test_ages_of_keys() -> None:
    callers.add(Path("inventory.ini"), "billing")
    add("")
    assert asked.keys(loaded()) == [{"name": "billing", "added": asked.keys(loaded())[0]["added"], "age_days": 0}]


@pytest.mark.parametrize(
    ("changes", "concern"),
    [
        ({}, ""),
        (
            {"secrets": [{**SECRET, "mode": "0644", "others": True}]},
            "others than root may read /etc/deepgram/deepgram.env",
        ),
        ({"secrets": [{**SECRET, "owner": "ops"}]}, "others than root may read /etc/deepgram/deepgram.env"),
        ({"certificates": [{"path": "/c", "days_left": 3, "self_signed": True}]}, "/c has 3 days left"),
        ({"certificates": [{"path": "/c", "days_left": None, "self_signed": True}]}, ""),
        ({"firewall": False}, "the firewall is not in force"),
        ({"firewall": None}, ""),
        (
            {"published": [{"container": "deepgram-api", "port": "8080", "for": "whoever reaches it"}]},
            "deepgram-api answers whoever",
        ),
        ({"published": [{"container": "deepgram-api", "port": "8080", "for": "192.0.2.5"}]}, ""),
        ({"problems": ["ss: no such file"]}, "not seen: ss: no such file"),
    ],
)
def test_concerns(changes: dict[str, Any], concern: str) -> None:
    found = [what for what, _ in audit.of_servers({"gpu1": status(**changes)})]
    assert (found == []) if not concern else (len(found) == 1 and found[0].startswith(concern))


def test_a_moved_tag_is_said() -> None:
    same = {name: status() for name in ("gpu1", "gpu2")}
    assert list(audit.differing(same)) == []
    other = {**same, "gpu3": status(images={"deepgram-engine": IMAGE + "b" * 64})}
    ((what, _),) = audit.differing(other)
    assert "deepgram-engine runs from different images" in what and "gpu3 sha256:bbbb" in what
    (reference,) = status()["images"].values()
    brought = status(images={"deepgram-engine": f"127.0.0.1:9812/{reference}"})
    assert list(audit.differing({**same, "gpu3": brought})) == [], "the same image, from an archive"


def test_a_model_file_with_other_bytes_is_said() -> None:
    same = {name: status(models={"nova-3.dg": "a" * 64}) for name in ("gpu1", "gpu2")}
    assert list(audit.differing(same)) == []
    ((what, _),) = audit.differing({**same, "gpu3": status(models={"nova-3.dg": "b" * 64})})
    assert what.startswith("nova-3.dg has different checksums: gpu1, gpu2 aaaa") and "gpu3 bbbb" in what


def test_the_text_has_all_of_it() -> None:
    found = loaded()
    seen = {"gpu1": status(firewall=False)}
    audit.add(found.hosts["gpu1"], Context(found, {}), seen["gpu1"], found.inventory)
    reported = {
        "callers": {"gpu1": "x"},
        "keys": [{"name": "billing", "added": None, "age_days": None}],
        "controller": [],
        "concerns": [{"what": "y", "hosts": ["gpu1"]}],
    }
    text = "\n".join(audit_text.lines(reported, seen))
    for word in (
        "tcp 0.0.0.0:443",
        "127.0.0.1:8080 -> 8080/tcp",
        "0600 root:root, 3 days old",
        "NOT in force",
        "age unknown",
        "y (gpu1)",
        "unpinned",
        "sha256 cccc",
    ):
        assert word in text, word
