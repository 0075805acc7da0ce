"""Every setting that README, docs and the example show, pasted into an inventory, validates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_schema import written
from tests.unit.conftest import INVENTORY, write
from tests.unit.validating import MAIN, add, problems

FLUX = "https://models.example.com/flux-general-en.en.streaming.6e5fc14.dg"
SPEAKING = ("aura-2.generator.en.2e5096c.dg", "aura-2.voice-pack.en.1.dg", "end-of-turn.en.7c1b9f6.dg")
ACCOUNT = "nginx_proxy_acme_email: ops@example.com\nnginx_proxy_acme_agree_tos: true\n"
# What a setting is shown with, on its page.
BESIDE = {
    "deepgram_profile": f"deepgram_models_links: [{FLUX}]\n",
    "deepgram_engines": "preflight_gpu_count: 4\ndeepgram_models_links: [{}]\n".format(
        ", ".join([FLUX, *(f"https://models.example.com/{name}" for name in ("nova-3.dg", *SPEAKING))])
    ),
    "deepgram_release": "deepgram_models_links: [https://models.example.com/nova-3.dgv2]\n",
    "deepgram_fips": "deepgram_release: release-260728-fips\ndeepgram_models_links: [https://models.example.com/nova-3.dgv2]\n",
    "monitoring_mail_to": "monitoring_mail_from: dgctl@example.com\nmonitoring_mail_server: mail.example.com:587\n",
    "nginx_proxy_overflow_api_key": "nginx_proxy_overflow_url: https://deepgram.example.com\n",
    "nginx_proxy_tls_source": ACCOUNT + 'nginx_proxy_server_name: "{{ inventory_hostname }}.example.com"\n',
    "nginx_proxy_acme_email": "nginx_proxy_tls_source: self-signed\n",
    "nginx_proxy_acme_agree_tos": "nginx_proxy_tls_source: self-signed\n",
    "nginx_proxy_acme_challenge": "nginx_proxy_tls_source: self-signed\n",
    "nginx_proxy_acme_packages": "nginx_proxy_tls_source: self-signed\n",
    "deepgram_registry_username": "deepgram_registry_password: not-a-password\n",
    "deepgram_license_upstream": "deepgram_license_servers: [https://license.example.com]\n",
}
# Files that only their owner has.
FILES = {"nginx_proxy_tls_certificate", "nginx_proxy_tls_key", "nginx_proxy_acme_dns_hook"}
FILES |= {"deepgram_api_tls_certificate", "deepgram_api_tls_key", "deepgram_api_tls_ca", "deepgram_api_tls_name"}
FOUND = {f"{page}: {name}": (name, value) for page, name, value in written() if name not in FILES}


@pytest.fixture(autouse=True)
def here(checkout: Path, folder: Path) -> Path:
    return folder


@pytest.mark.parametrize("shown", FOUND)
def test_a_setting_of_the_docs(shown: str) -> None:
    name, value = FOUND[shown]
    text = INVENTORY.replace("deepgram_release=release-260812\n", "") if name == "deepgram_release" else INVENTORY
    if name in ("ansible_host", "ansible_port", "ansible_user"):
        text = text.replace("gpu2 ansible_host=192.0.2.12", "").replace("192.0.2.11", f"192.0.2.99 {name}={value}")
    else:
        beside = BESIDE.get(name, "")
        beside += "deepgram_fips: true\n" if name == "deepgram_release" and str(value).endswith("-fips") else ""
        if name == "deepgram_models_links" or name in beside or "deepgram_models_links" in beside:
            write(Path(MAIN), "")
        add(f"{beside}{name}: {json.dumps(value)}\n")
    Path(MAIN).chmod(0o600)  # some settings are secrets
    write(Path("inventory.ini"), text)
    assert problems() == []
