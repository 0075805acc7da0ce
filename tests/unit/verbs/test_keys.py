"""`dgctl keys`: callers' keys in the deployment's folder, and what validation says of proxies without any."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from dgctl import validation
from dgctl.cli import main
from dgctl.deployment import callers, deployment, vault
from dgctl.validation.context import Context
from tests.unit.conftest import write
from tests.unit.validating import add, only, problems

INVENTORY = "inventory.ini"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an inventory, in which the command line runs."""
    monkeypatch.chdir(tmp_path)
    Path(INVENTORY).write_text("[node]\ngpu1\n")
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["keys", INVENTORY, *words])


def written() -> dict[str, Any]:
    return yaml.safe_load(Path("group_vars/all/callers.yml").read_text())


def test_a_key_is_shown_once_and_stands_nowhere(here: Path) -> None:
    reported = call("add", "billing")
    assert reported.exit_code == 0, reported.output
    (key,) = re.findall(r"^[0-9a-f]{64}$", reported.stdout, re.M)
    assert written()["nginx_proxy_keys"]["billing"]["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert written()["nginx_proxy_callers"] == "keys", "from now on a key is needed"
    assert "next: dgctl provision inventory.ini" in reported.stdout
    files = [path for path in here.rglob("*") if path.is_file()]
    assert len(files) == 2 and not any(key in path.read_text() for path in files)
    assert key not in call("list").stdout


def test_keys_differ_and_json_has_them(here: Path) -> None:
    first, second = (json.loads(call("add", name, "--json").stdout)["keys"][0]["key"] for name in ("a", "b"))
    assert first != second and len(first) == 64
    rows = json.loads(call("list", "--json").stdout)["keys"]
    assert [row["name"] for row in rows] == ["a", "b"] and "key" not in rows[0]


def test_a_revoked_last_key_opens_nothing(here: Path) -> None:
    call("add", "billing")
    assert call("revoke", "billing").exit_code == 0
    assert written() == {"nginx_proxy_callers": "keys", "nginx_proxy_keys": {}}


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("add",), "a caller's name is one word"),
        (("add", "a b"), "a caller's name is one word"),
        (("add", "-"), "a caller's name is one word"),
        (("add", "x" * 65), "a caller's name is one word"),
        (("add", "dgctl"), "this name is the proxy's own"),
        (("revoke", "nobody"), "no caller of this name has a key"),
        (("list", "billing"), "list takes no name"),
    ],
)
def test_refusals(here: Path, words: tuple[str, ...], what: str) -> None:
    reported = call(*words)
    assert reported.exit_code == 2 and what in reported.stderr and "fix:" in reported.stderr
    assert not Path("group_vars/all/callers.yml").exists()


def test_a_name_has_one_key(here: Path) -> None:
    call("add", "billing")
    before = written()
    reported = call("add", "billing")
    assert reported.exit_code == 2 and "billing-2" in reported.stderr and written() == before


def test_other_settings_of_the_file_stay(here: Path) -> None:
    write(here / "group_vars/all/callers.yml", "nginx_proxy_callers: either\nnginx_proxy_client_ca: /etc/ca.pem\n")
    call("add", "billing")
    assert written()["nginx_proxy_callers"] == "either" and written()["nginx_proxy_client_ca"] == "/etc/ca.pem"


def test_a_file_of_all_hosts_is_not_hidden_by_a_folder(here: Path) -> None:
    """Ansible's host_group_vars reads the folder group_vars/all, and then group_vars/all.yml no more."""
    write(here / "group_vars/all.yml", "deepgram_release: x\n")
    reported = call("add", "billing")
    assert reported.exit_code == 3 and "mkdir group_vars/all" in reported.stderr and not Path("group_vars/all").exists()


@pytest.mark.parametrize(
    "text", ["{", "- a\n", "nginx_proxy_keys: [a]\n", "nginx_proxy_keys: {a: b}\n", "$ANSIBLE_VAULT;1.1\n6\n"]
)
def test_a_file_that_cannot_be_edited_stays(here: Path, text: str) -> None:
    write(here / "group_vars/all/callers.yml", text)
    assert call("add", "billing").exit_code == 3
    assert Path("group_vars/all/callers.yml").read_text() == text


def test_no_inventory(here: Path) -> None:
    reported = CliRunner().invoke(main, ["keys", "none.ini", "list"])
    assert reported.exit_code == 2 and "there is no such inventory" in reported.stderr


# What validation says of it.


def test_what_the_verb_writes_is_valid(root: Path, folder: Path) -> None:
    callers.add(Path("inventory.ini"), "billing")
    assert problems() == []
    assert yaml.safe_load((folder / "group_vars/all/callers.yml").read_text())["nginx_proxy_callers"] == "keys"


def test_certificates_need_an_authority(root: Path, folder: Path) -> None:
    add("nginx_proxy_callers: certificates\n")
    assert only().what == "nginx_proxy_callers needs an authority of callers' certificates"


def test_an_authority_is_a_certificate(root: Path, folder: Path) -> None:
    write(folder / "ca.pem", "no certificate")
    add(f"nginx_proxy_callers: either\nnginx_proxy_client_ca: {folder}/ca.pem\n")
    assert only().what == "this file holds no PEM certificate"


def test_one_key_has_one_name(root: Path, folder: Path) -> None:
    digest = "a" * 64
    add(f"nginx_proxy_keys: {{a: {{sha256: {digest}}}, b: {{sha256: {digest}}}}}\n")
    assert only().what == "a and b have the same key"


def hinted(address: str, more: str = "") -> tuple[list[str], list[str]]:
    """What validate hints at, and what status says, of one server at this address."""
    Path("inventory.ini").write_text(f"[node]\ngpu1 ansible_host={address}\n")
    if more:
        add(more)
    found = deployment.load(Path("inventory.ini"), vault.VaultOptions())
    hints = [hint.what for hint in validation.hints(found)]
    return hints, [hint.what for hint in validation.exposed(found)]


OPEN = ["whoever reaches this proxy may transcribe on your licence: callers show no key"]


@pytest.mark.parametrize(
    ("address", "more", "hints", "status"),
    [
        ("8.8.8.8", "", OPEN, OPEN),
        ("speech.example.com", "", OPEN, OPEN),
        ("10.1.2.3", "", [], []),
        ("gpu1", "", [], []),
        ("8.8.8.8", "nginx_proxy_callers: open\n", [], OPEN),
        ("8.8.8.8", "nginx_proxy_callers: keys\n", [], []),
        ("8.8.8.8", "nginx_proxy_allow: [192.0.2.0/24]\n", [], []),
    ],
)
def test_an_open_proxy_of_a_public_address_is_said(
    root: Path,
    folder: Path,
    address: str,
    more: str,
    hints: list[str],
    status: list[str],
) -> None:
    assert hinted(address, more) == (hints, status)


def test_the_hint_is_a_command(root: Path, folder: Path) -> None:
    Path("inventory.ini").write_text("[node]\ngpu1 ansible_host=8.8.8.8\n")
    found = deployment.load(Path("inventory.ini"), vault.VaultOptions())
    ((_, hint),) = list(validation.callers.exposed(Context(found, {})))
    assert hint.fix.startswith("dgctl keys inventory.ini add NAME")
