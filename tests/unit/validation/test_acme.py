"""A certificate from an ACME authority, judged from the desk: each wrong input beside the nearest right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgctl.base.errors import Problem
from tests.unit import conftest, validating
from tests.unit.conftest import write
from tests.unit.test_files import certificate

MAIN = "group_vars/all/main.yml"
ONE = "[node]\ngpu1 ansible_host=192.0.2.11\n\n[all:vars]\nansible_user=ops\ndeepgram_release=release-260812\n"
TWO = ONE.replace("\n\n[all", "\ngpu2 ansible_host=192.0.2.12\n\n[all")
OWN = TWO.replace("192.0.2.11", "192.0.2.11 nginx_proxy_server_name=a.example.com")
OWN = OWN.replace("192.0.2.12", "192.0.2.12 nginx_proxy_server_name=b.example.com")
# Three more lines than those of tests/unit/conftest.py: what is said first stands on line 4.
ACME = {
    "nginx_proxy_tls_source": "acme",
    "nginx_proxy_acme_email": "ops@example.com",
    "nginx_proxy_acme_agree_tos": "true",
    "nginx_proxy_server_name": "speech.example.com",
}


@pytest.fixture(autouse=True)
def here(checkout: Path, folder: Path) -> Path:
    write(folder / "hook", "#!/bin/sh\n", 0o700)
    return folder


def problems(changes: dict[str, str | None], inventory: str = ONE) -> list[Problem]:
    """Of one server that asks an ACME authority; a change of None takes a setting out."""
    Path("inventory.ini").write_text(inventory)
    settings = {name: text for name, text in {**ACME, **changes}.items() if text is not None}
    write(Path(MAIN), conftest.MAIN + "".join(f"{name}: {text}\n" for name, text in settings.items()), 0o600)
    return validating.problems()


SOURCE = "nginx_proxy_tls_source"
HOOK = "nginx_proxy_acme_dns_hook"
DNS = {"nginx_proxy_acme_challenge": "dns-01", HOOK: '"{{ inventory_dir }}/hook"'}
RULE = "[{name: x, port: 80, sources: [192.0.2.0/24]}]"


@pytest.mark.parametrize(
    ("wrong", "right", "what", "fix"),
    [
        ({"nginx_proxy_acme_email": None}, {}, "acme needs nginx_proxy_acme_email", "set nginx_proxy_acme_email"),
        ({"nginx_proxy_acme_email": '""'}, {}, "acme needs nginx_proxy_acme_email", "set nginx_proxy_acme_email"),
        ({"nginx_proxy_acme_agree_tos": None}, {}, "terms of service", "nginx_proxy_acme_agree_tos: true"),
        ({"nginx_proxy_acme_agree_tos": "false"}, {"nginx_proxy_acme_agree_tos": '"yes"'}, "terms of service", "read"),
        ({"nginx_proxy_server_name": "192.0.2.11"}, {}, "no certificate for an address", "self-signed"),
        ({"nginx_proxy_server_name": "speech"}, {}, "a name without a domain", "such as speech.example.com"),
        ({"nginx_proxy_server_name": "speech"},
         {"nginx_proxy_server_name": "speech", "nginx_proxy_acme_ca_file": "CA"},
         "a name without a domain", "nginx_proxy_acme_ca_file"),
        ({"nginx_proxy_acme_names": '["*.example.com"]'}, {"nginx_proxy_acme_names": '["*.example.com"]', **DNS},
         "a name with a star is proven by DNS alone", "dns-01"),
        ({"nginx_proxy_acme_names": "[voice.example.com]"},
         {"nginx_proxy_acme_names": "[voice.example.com, Speech.example.com]"},
         "nginx_proxy_acme_names has not nginx_proxy_server_name (speech.example.com)", "add speech.example.com"),
        ({"nginx_proxy_acme_names": '["*.b.example.com"]', **DNS},
         {"nginx_proxy_acme_names": '["*.example.com"]', **DNS},
         "nginx_proxy_acme_names has not nginx_proxy_server_name", "add speech.example.com"),
        ({"nginx_proxy_acme_challenge": "dns-01"}, DNS, "dns-01 needs nginx_proxy_acme_dns_hook", "docs/proxy.md"),
        ({**DNS, HOOK: '"{{ inventory_dir }}/none"'}, DNS, "this file does not exist", HOOK),
        ({**DNS, HOOK: '"{{ inventory_dir }}/inventory.ini"'}, DNS, "cannot be executed", "chmod u+x"),
        ({HOOK: '"{{ inventory_dir }}/hook"'}, DNS, "nobody calls it", "dns-01"),
        ({"host_firewall_rules": RULE}, {"host_firewall_rules": RULE.replace("80", "81")}, "closes port 80", "take that rule"),
        ({"nginx_proxy_port": "80"}, {"nginx_proxy_port": "8443"}, "are the same port", "give each its own"),
        ({"nginx_proxy_plain_port": "80", "nginx_proxy_plain_allow": "[192.0.2.9]"},
         {"nginx_proxy_plain_port": "80", "nginx_proxy_plain_allow": "[192.0.2.9]", **DNS}, "are the same port", "give each"),
        ({"nginx_proxy_acme_ca_file": '"{{ inventory_dir }}/hook"'}, {"nginx_proxy_acme_ca_file": "CA"},
         "this file holds no PEM certificate", "the system trusts"),
        ({"nginx_proxy_acme_ca_file": '"{{ inventory_dir }}/none"'}, {}, "this file does not exist", "nginx_proxy_acme_ca_file"),
        ({"nginx_proxy_acme_eab_kid": "kid-1"},
         {"nginx_proxy_acme_eab_kid": "kid-1", "nginx_proxy_acme_eab_hmac_key": "a-b_c"},
         "nginx_proxy_acme_eab_hmac_key is not", "set nginx_proxy_acme_eab_hmac_key too"),
        ({SOURCE: None}, {SOURCE: "self-signed"}, "no authority is asked", "nginx_proxy_tls_source: acme"),
        ({SOURCE: "files"}, {SOURCE: "self-signed"}, "is files, and none are given", "self-signed or acme"),
    ],
)  # fmt: skip
def test_what_is_wrong_and_its_nearest_right_twin(
    folder: Path, wrong: dict[str, str | None], right: dict[str, str | None], what: str, fix: str
) -> None:
    trusted = str(certificate(folder)[0])
    found, good = (
        problems({name: trusted if text == "CA" else text for name, text in each.items()}) for each in (wrong, right)
    )
    assert [what in one.what and fix in one.fix for one in found] == [True], found
    assert found[0].where.startswith(f"{MAIN}:")
    assert good == []


def test_a_hook_that_is_made_for_one_machine(here: Path) -> None:
    assert problems(DNS) == []
    write(here / "hook", "\x7fELF\x02", 0o700)
    (found,) = problems(DNS)
    assert "does not say what runs it" in found.what and "#!/bin/sh" in found.fix


def test_servers_that_share_a_name_are_asked_by_dns() -> None:
    (found,) = problems({}, TWO)
    assert found.what.startswith("gpu1, gpu2 share this name") and found.value == "speech.example.com"
    assert "dns-01" in found.fix and "nginx_proxy_server_name" in found.fix
    assert problems(DNS, TWO) == []
    assert problems({"nginx_proxy_server_name": None}, OWN) == []


def test_a_secret_is_not_shown() -> None:
    (found,) = problems({"nginx_proxy_acme_eab_kid": "k", "nginx_proxy_acme_eab_hmac_key": "not+base64url"})
    assert "base64url" in found.fix and "not+base64url" not in f"{found}"


def test_servers_without_a_proxy_ask_no_authority() -> None:
    inventory = TWO.replace("[all:vars]", "[proxy]\nlb1 ansible_host=192.0.2.5\n\n[all:vars]")
    assert problems({}, inventory) == []
