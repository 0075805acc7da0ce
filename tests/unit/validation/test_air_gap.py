"""An air gap, read from the desk: the licence file, the licence's key, whom nobody may ask, and what cannot be together."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl.base.errors import Problem
from dgctl.validation import licences
from tests.unit import conftest, validating
from tests.unit.conftest import write

MAIN = "group_vars/all/main.yml"
VAULT = "group_vars/all/vault.yml"
GAP = "deepgram_license_key: licence-key-of-the-tests\n"
BILLING = "[billing]\nbl1 ansible_host=192.0.2.20\n"
PROXY = "[license_proxy]\nlp1 ansible_host=192.0.2.9\n"


@pytest.fixture(autouse=True)
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    write(folder / "license.dg", '{"licence": "signed"}\n', 0o600)
    return folder


def problems(*settings: str, groups: str = BILLING, key: str = GAP, licence: str = "license.dg") -> list[Problem]:
    """Of two nodes behind an air gap, with these groups, lines of the main file, vault and licence file."""
    inventory = conftest.INVENTORY.replace("[all:vars]", f"{groups}\n[all:vars]")
    Path("inventory.ini").write_text(inventory)
    file = f'billing_license_file: "{{{{ inventory_dir }}}}/{licence}"\n' if licence else ""
    Path(MAIN).write_text(conftest.MAIN + file + "".join(f"{line}\n" for line in settings))
    write(Path(VAULT), key, 0o600)
    return validating.problems()


@pytest.mark.parametrize("groups", [BILLING, BILLING + PROXY])
def test_what_is_right_needs_no_api_key_and_no_upstream(groups: str) -> None:
    assert problems(groups=groups) == []
    assert problems("deepgram_license_upstream: []", groups=groups) == []
    assert problems(groups=groups, key=GAP + conftest.VAULT) == []


def test_without_an_air_gap_the_api_key_is_asked_for_and_no_licence_key() -> None:
    found = problems(groups="", key="{}\n", licence="")
    assert {problem.what for problem in found} == {"deepgram_api_key is not set"}


def test_a_missing_licence_key() -> None:
    found = problems(key=conftest.VAULT)
    assert {problem.what for problem in found} == {"deepgram_license_key is not set"}
    assert "licence key" in found[0].fix and "vault" in found[0].fix


@pytest.mark.parametrize(
    ("licence", "text", "mode", "what"),
    [
        ("", "", 0o600, "Billing has no licence file"),
        ("other.dg", "", 0o600, "this file does not exist"),
        ("license.dg", "", 0o600, "the licence file is empty"),
        ("license.dg", "{\n}\n", 0o600, "the licence file has more than one line"),
        ("license.dg", "{}\n", 0o644, "the licence file is a secret that others can read"),
        ("license.dg", "$ANSIBLE_VAULT;1.1;AES256\n61\n62\n", 0o644, ""),
        ("license.dg", "{}\n", 0o600, ""),
    ],
)
def test_the_licence_file(licence: str, text: str, mode: int, what: str) -> None:
    write(Path("license.dg"), text, mode)
    found = problems(licence=licence)
    assert [problem.what for problem in found] == [what] * bool(what)
    if what:
        assert found[0].fix and ("billing_license_file" in found[0].fix or "license.dg" in found[0].fix)
        assert found[0].where == (f"{MAIN}:4" if licence else "bl1")


@pytest.mark.parametrize(
    ("setting", "groups"),
    [
        ("deepgram_license_upstream: [https://license.deepgram.com]", BILLING),
        ("deepgram_license_servers: [https://192.0.2.20:8443, https://license.deepgram.com]", BILLING),
        ("license_proxy_servers: [https://license.deepgram.com]", BILLING + PROXY),
    ],
)
def test_nobody_asks_deepgram(setting: str, groups: str) -> None:
    found = problems(setting, groups=groups)
    assert {problem.what for problem in found} == {"behind an air gap nobody can ask Deepgram's licence servers"}
    assert found[0].where == f"{MAIN}:5" and "license.deepgram.com" in found[0].value
    assert setting.partition(":")[0] in found[0].fix
    right = setting.replace("https://license.deepgram.com", "https://billing.test:8443")
    assert problems(right, groups=groups) == [] or "upstream" in setting


def test_billing_without_an_air_gap() -> None:
    found = problems("deepgram_air_gap: false", key=GAP + conftest.VAULT)
    assert {problem.what for problem in found} == {"Billing runs, and nobody asks it: deepgram_air_gap is false"}
    assert found[0].where == f"{MAIN}:5"


def test_an_air_gap_whose_billing_is_elsewhere() -> None:
    elsewhere = ("deepgram_air_gap: true", "deepgram_license_servers: [https://billing.test:8443]")
    assert problems(*elsewhere, groups="", licence="") == []
    found = problems(elsewhere[0], groups="", licence="")
    assert {problem.what for problem in found} == {"behind an air gap nobody can ask Deepgram's licence servers"}
    assert "group billing" in found[0].fix


def test_a_server_cannot_be_billing_and_license_proxy() -> None:
    problem, ports = problems(groups=BILLING + "[license_proxy]\nbl1\n")
    assert "[license_proxy] and [billing], which exclude each other" in problem.what and problem.fix
    assert "are the same port" in ports.what


def test_billing_of_nothing() -> None:
    Path("inventory.ini").write_text(f"{BILLING}\n[all:vars]\ndeepgram_release=release-260812\n")
    Path(MAIN).write_text(f'billing_license_file: "{Path("license.dg").absolute()}"\n')
    (problem,) = validating.problems()
    assert problem.what == "nothing serves [billing]: [node] or [api] is empty"


def test_ports_that_meet_on_a_node_with_billing() -> None:
    (problem,) = problems("billing_certificates_port: 8080", groups="[billing]\ngpu1\n")
    assert "are the same port" in problem.what and "deepgram_api_port" in problem.what
    assert problems(groups="[billing]\ngpu1\n") == []


@pytest.mark.parametrize("path", ["/var/lib/deepgram/journal", "/etc/deepgram", "journal", "/"])
def test_a_journal_is_kept_where_nothing_is_wiped(path: str) -> None:
    (problem,) = problems(f"billing_journal_dir: {path}")
    assert problem.what.startswith("billing_journal_dir must be") and problem.where == f"{MAIN}:5"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("billing_settings: {server: {prt: 8443}}", "did you mean server.port?"),
        ("billing_settings: {server: {port: '8443'}}", "write 8443 without quotes"),
        ("billing_settings: {own: 1}", "goes into billing_extra_settings"),
    ],
)
def test_a_slip_in_billing_toml(setting: str, words: str) -> None:
    (problem,) = problems(setting)
    assert words in problem.fix and problem.where == f"{MAIN}:5"


def test_an_address_with_brackets_that_is_none_is_no_bug():
    """Found by bin/fuzz, seed 26: urlsplit raises for what stands between brackets and is no address."""
    assert not licences._is_deepgram("https://192.0.2.gpu[1:3]0:8443")
    assert licences._is_deepgram("https://license.deepgram.com")
