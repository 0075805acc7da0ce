"""The proxy's certificate from an ACME authority (Let's Encrypt's pebble): ordered, renewed under a stream, given up again."""

import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.proxy.acme import PROGRAMS, Authority
from tests.scenarios.support.calls import LiveStream, transcribe
from tests.scenarios.support.servers import Deployment, Server

CONFIG = "/etc/deepgram-acme/certbot.ini"


@pytest.fixture(scope="module")
def authority(lab: tuple[Deployment, Server]) -> Iterator[Authority]:
    assert all(PROGRAMS.values()), f"bin/test-programs installs what is missing: {PROGRAMS}"
    server = lab[1]
    (gateway,) = server.sh("ip -4 route show default").split()[2:3]
    folder = Path(tempfile.mkdtemp(prefix="dgctl-acme-"))
    running = Authority(folder, 80, at=gateway, server=server.address)
    yield running
    running.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def variables(lab: tuple[Deployment, Server], authority: Authority) -> Iterator[Path]:
    """The deployment's file that asks for it; it is gone afterwards."""
    deployment, server = lab
    # The authority's own certificate, and the root that its certificates lead to.
    trust = authority.folder / "both.pem"
    trust.write_text(authority.ca.read_text() + authority.root())
    path = deployment.folder / "group_vars/all/zz_acme.yml"
    reported = {
        "nginx_proxy_tls_source": "acme",
        "nginx_proxy_server_name": server.name,
        "nginx_proxy_acme_directory_url": authority.directory,
        "nginx_proxy_acme_email": "ops@example.com",
        "nginx_proxy_acme_agree_tos": True,
        "nginx_proxy_acme_ca_file": str(trust),
    }
    path.write_text(yaml.safe_dump(reported))
    yield path
    path.unlink(missing_ok=True)


def served(server: Server, authority: Authority) -> dict:
    """The certificate that callers see, verified against the authority's root alone."""
    context = ssl.create_default_context(cadata=authority.root())
    with (
        socket.create_connection((server.address, 443), 10) as plain,
        context.wrap_socket(plain, server_hostname=server.name) as secure,
    ):
        return secure.getpeercert()


def test_it_is_ordered_and_served(
    deployment: Deployment, server: Server, authority: Authority, variables: Path
) -> None:
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert {check["verdict"] for check in run.document["checks"]} <= {"pass", "skip"}
    assert served(server, authority)["subjectAltName"] == (("DNS", server.name),)
    assert server.sh("stat -c '%a %U' /etc/nginx/tls/deepgram.key").strip() == "600 root"
    assert server.sh("systemctl is-enabled deepgram-acme.timer").strip() == "enabled"


def test_the_second_run_changes_nothing_and_asks_nobody(
    deployment: Deployment, server: Server, authority: Authority, variables: Path
) -> None:
    asked = authority.log()
    run = deployment.dgctl("provision", "--yes", "--full")
    assert run.exit_code == 0 and {host["changed"] for host in run.document["hosts"].values()} == {0}, run.document[
        "hosts"
    ]
    server.sh("systemctl start deepgram-acme.service")  # as the timer does
    assert authority.log() == asked


def test_it_is_renewed_and_a_stream_goes_on(
    deployment: Deployment, server: Server, authority: Authority, variables: Path, tmp_path: Path
) -> None:
    before = served(server, authority)
    with LiveStream(server, tmp_path, 12) as stream:
        server.sh(
            f"REQUESTS_CA_BUNDLE=/etc/deepgram-acme/authorities.pem certbot certonly --config {CONFIG} --force-renewal"
        )
        after = served(server, authority)
    assert after["serialNumber"] != before["serialNumber"]
    assert not stream.error and stream.duration == pytest.approx(12, abs=0.5)
    assert transcribe(server, tmp_path).status_code == 200
    assert deployment.dgctl("plan").exit_code == 0, "a renewal is no drift"
    assert deployment.dgctl("verify").exit_code == 0


def test_a_renewal_that_fails_is_named_while_the_certificate_holds(
    deployment: Deployment, server: Server, authority: Authority, variables: Path
) -> None:
    authority.close()
    server.sh("mv /etc/deepgram-acme/certbot/live /root/live")  # what is missing is ordered
    server.sh("systemctl start deepgram-acme.service", check=False)
    server.sh("mv /root/live /etc/deepgram-acme/certbot/live")
    run = deployment.dgctl("doctor")
    (failed,) = [check for check in run.document["checks"] if check["verdict"] == "fail"]
    assert failed["check"] == "certificate renewal" and authority.at in failed["fix"], failed


def test_it_is_given_up_again(deployment: Deployment, server: Server, variables: Path, tmp_path: Path) -> None:
    variables.unlink()
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert not server.has("/etc/systemd/system/deepgram-acme.timer") and not server.has(CONFIG)
    assert transcribe(server, tmp_path).status_code == 200
    assert deployment.dgctl("plan").exit_code == 0
