"""A certificate from an ACME authority, with the real certbot, the real NGINX and the real pebble: ordered, renewed, served.

The settings of certbot, the site and the program are the role's own.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.proxy.acme import HMAC, KID, NAME, PROGRAMS, Authority, Server

MISSING = [name for name, path in PROGRAMS.items() if not path]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not on this machine: {', '.join(MISSING)} (bin/test-programs)")


@pytest.fixture
def folder():
    """Where NGINX's workers, who are nobody, may go: pytest's own folder is closed to them."""
    path = Path(tempfile.mkdtemp(prefix="dgctl-acme-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start(folder):
    """start(days=90, binding=False, nginx=True, **variables) -> (authority, server)."""
    running = []

    def started(days=90, binding=False, nginx=True, **variables):
        (folder / "authority").mkdir()
        (folder / "server").mkdir()
        http = free_port()
        authority = Authority(folder / "authority", http, days, binding)
        running.append(authority)
        shutil.copy(authority.ca, folder / "ca.pem")
        reported = {
            "nginx_proxy_acme_directory_url": authority.directory,
            "nginx_proxy_acme_ca_file": str(folder / "ca.pem"),
            "_nginx_proxy_acme_ca": str(folder / "ca.pem"),
            **variables,
        }
        server = Server(folder / "server", http, **reported)
        server.reported = reported
        running.append(server)
        return authority, server.start() if nginx else server

    yield started
    for each in reversed(running):
        each.close()


def test_is_ordered_served_and_renewed(start):
    authority, server = start()
    assert server.due() == {"order": "there is none", "deploy": False}
    done = server.run("renew")
    assert done.returncode == 0 and '"changed": true' in done.stdout, done
    first = server.served(authority.root())
    assert first["subjectAltName"] == (("DNS", NAME),)
    assert stat.S_IMODE(server.key.stat().st_mode) == 0o600 and stat.S_IMODE(server.certificate.stat().st_mode) == 0o644

    # The second time nobody is asked.
    asked = authority.log()
    assert server.due() == {"order": "", "deploy": False}
    assert '"changed": false' in server.run("renew").stdout and authority.log() == asked

    # 90 days, of which 60 are over.
    renewed(server, authority, first)


def renewed(server, authority, before):
    """certbot's own --force-renewal, as somebody types it: the deploy hook has NGINX serve what came."""
    words = ["certbot", "certonly", "--config", str(server.config / "certbot.ini"), "--force-renewal"]
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(server.folder.parent / "ca.pem")}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done
    # Workers of before finish their connections: the first that asks may still meet one.
    until = time.monotonic() + 10
    while server.served(authority.root())["serialNumber"] == before["serialNumber"]:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert server.due()["deploy"] is False


def test_what_ends_soon_is_renewed(start):
    """A day's certificate is renewed after half of it: 30 days before its end it was never there."""
    authority, server = start(days=1)
    server.run("renew")
    first = server.served(authority.root())
    assert server.due()["order"] == ""
    program = server.program.read_text().replace("now or time.time()", "time.time() + 50000")
    server.program.write_text(program)
    assert server.due()["order"] == "it ends in 0 days"
    assert server.run("renew").returncode == 0
    assert server.served(authority.root())["serialNumber"] != first["serialNumber"]


def test_another_name_is_ordered_again(start):
    authority, server = start()
    server.run("renew")
    server.set(**server.reported, nginx_proxy_acme_names=[NAME, "voice.example.com"])
    assert server.due()["order"] == "its names differ"
    # NGINX answers for the new name as soon as the role has reloaded it.
    assert server.run("deploy").returncode == 0
    subprocess.run([*server.words, "-s", "reload"], check=True)
    assert server.run("renew").returncode == 0, server.state()
    names = {name for _, name in server.served(authority.root())["subjectAltName"]}
    assert names == {NAME, "voice.example.com"} and server.due() == {"order": "", "deploy": False}

    # One that is taken out, too, which certbot would ask about.
    server.set(**server.reported)
    assert server.due()["order"] == "its names differ" and server.run("renew").returncode == 0, server.state()
    assert server.served(authority.root())["subjectAltName"] == (("DNS", NAME),)


def test_another_authority_is_asked_again(start):
    _, server = start()
    server.run("renew")
    server.set(**{**server.reported, "nginx_proxy_acme_directory_url": "https://127.0.0.1:1/dir"})
    assert server.due()["order"] == "it is of another authority"
    done = server.run("renew")
    assert done.returncode == 1 and "Connection refused" in done.stderr and "https://127.0.0.1:1/dir" in done.stderr


def test_a_run_that_was_killed_is_ended_by_the_next(start):
    """certbot had the certificate, and NGINX never got it; or its files, and no reload."""
    authority, server = start()
    before = server.certificate.read_text(), server.key.read_text()
    server.run("renew")
    own = server.served(authority.root())["serialNumber"]
    server.certificate.write_text(before[0])
    assert server.due() == {"order": "", "deploy": True}
    assert server.run("renew").returncode == 0 and server.due()["deploy"] is False
    assert server.served(authority.root())["serialNumber"] == own


def test_nginx_that_refuses_keeps_what_it_had(start):
    _, server = start()
    before = server.certificate.read_text(), server.key.read_text()
    site = server.folder / "site.conf"
    (server.folder / "nginx.conf").write_text((server.folder / "nginx.conf").read_text() + "nonsense;\n")
    done = server.run("renew")
    assert done.returncode == 1 and "nonsense" in done.stderr and "nginx -t" in done.stderr, done
    assert (server.certificate.read_text(), server.key.read_text()) == before and site.exists()


def test_only_tokens_are_served_without_tls(start):
    _, server = start()
    token = server.retained / "www/.well-known/acme-challenge/abc"
    token.parent.mkdir(parents=True)
    token.write_text("abc.thumbprint")
    assert server.get("/.well-known/acme-challenge/abc") == (200, "abc.thumbprint")
    assert server.get("/.well-known/acme-challenge/none")[0] == 404
    for path in (
        "/",
        "/v1/listen",
        "/v1/status",
        "/metrics",
        "/.well-known/",
        "/.well-known/acme-challenge/../../deepgram.key",
    ):
        assert server.get(path)[0] in (400, 403), path
    server.set(**server.reported, nginx_proxy_acme_challenge="dns-01", nginx_proxy_acme_dns_hook="/x")
    assert str(server.http) not in (server.folder / "site.conf").read_text()


def test_a_challenge_that_nobody_answers_is_explained(start):
    _, server = start(nginx=False)
    done = server.run("renew")
    assert done.returncode == 1
    assert f"{NAME}: connection: " in done.stderr and "refused" in done.stderr
    assert f"let {NAME} lead here in DNS, and port {server.http}" in done.stderr
    state = server.state()
    assert state["error"] in done.stderr and state["fix"] in done.stderr and state["since"] == state["tried"] > 0
    assert "Traceback" not in done.stderr

    # It goes on saying since when, until it works.
    server.run("renew")
    assert server.state()["since"] == state["since"]
    server.start()
    assert server.run("renew").returncode == 0
    assert server.state()["error"] == "" and server.state()["since"] == 0


def test_a_directory_that_is_not_trusted_is_explained(start):
    _, server = start()
    server.set(**{**server.reported, "nginx_proxy_acme_ca_file": ""})
    done = server.run("renew")
    assert (
        done.returncode == 1
        and "CERTIFICATE_VERIFY_FAILED" in done.stderr
        and "nginx_proxy_acme_ca_file" in done.stderr
    )


def test_an_external_account_is_bound_without_a_secret_in_the_arguments(start):
    _, server = start(binding=True)
    done = server.run("renew")
    assert done.returncode == 1 and "nginx_proxy_acme_eab_kid" in done.stderr, done
    server.set(**server.reported, nginx_proxy_acme_eab_kid=KID, nginx_proxy_acme_eab_hmac_key=HMAC[::-1])
    done = server.run("renew")
    assert done.returncode == 1 and "nginx_proxy_acme_eab_kid" in done.stderr, done
    server.set(**server.reported, nginx_proxy_acme_eab_kid=KID, nginx_proxy_acme_eab_hmac_key=HMAC)
    done = server.run("renew")
    assert done.returncode == 0, done
    assert HMAC not in done.stdout + done.stderr and HMAC not in (server.config / "acme.json").read_text()


HOOK = """#!/bin/sh
# {host} is the DNS server's name with a dot, as pebble-challtestsrv takes it.
echo "$1 $CERTBOT_DOMAIN $DNS_KEY" >>"$RECORD"
test "$DNS_KEY" = secret || exit 7
case "$1" in
auth) said="{\\"host\\":\\"_acme-challenge.$CERTBOT_DOMAIN.\\",\\"value\\":\\"$CERTBOT_VALIDATION\\"}"; at=set-txt ;;
*) said="{\\"host\\":\\"_acme-challenge.$CERTBOT_DOMAIN.\\"}"; at=clear-txt ;;
esac
exec python3 -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], sys.argv[2].encode())" "$DNS_API/$at" "$said"
"""


@pytest.fixture
def hooked(start):
    """(authority, server, hook's record): dns-01 with a star, and a hook that sets records in pebble's DNS server."""
    authority, server = start()
    hook, secrets = server.config / "dns-hook", server.config / "dns-environment.json"
    hook.write_text(HOOK)
    hook.chmod(0o700)
    record = server.folder / "hook.log"
    secrets.write_text(
        f'{{"DNS_KEY": "secret", "DNS_API": "http://127.0.0.1:{authority.reported}", "RECORD": "{record}"}}'
    )
    server.set(**server.reported, nginx_proxy_acme_challenge="dns-01", nginx_proxy_acme_dns_hook=str(hook),
               nginx_proxy_acme_names=["*.example.com"])  # fmt: skip
    return authority, server, record


def test_a_star_is_proven_by_dns(hooked):
    authority, server, record = hooked
    done = server.run("renew")
    assert done.returncode == 0, done
    assert server.served(authority.root())["subjectAltName"] == (("DNS", "*.example.com"),)
    assert record.read_text().split("\n") == ["auth example.com secret", "cleanup example.com secret", ""]
    assert "secret" not in done.stdout + done.stderr


def test_a_hook_that_fails_is_named_and_its_words_are_not(hooked):
    _, server, _ = hooked
    secrets = server.config / "dns-environment.json"
    secrets.write_text(secrets.read_text().replace('"DNS_KEY": "secret"', '"DNS_KEY": "wrong-secret"'))
    done = server.run("renew")
    assert done.returncode == 1
    assert "nginx_proxy_acme_dns_hook (auth of example.com) ended with 7" in done.stderr, done
    assert "_acme-challenge.example.com" in done.stderr and "wrong-secret" not in done.stderr


def test_a_program_that_is_missing_is_explained(start):
    _, server = start()
    server.program.write_text(
        server.program.read_text().replace('words = ["certbot"', 'words = ["certbot-is-not-here"')
    )
    done = server.run("renew")
    assert done.returncode == 1 and "certbot-is-not-here is not installed" in done.stderr
