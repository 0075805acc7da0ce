"""billing gives licences without anybody outside, straight and through a License Proxy, and writes each down first."""

from __future__ import annotations

import json
import ssl
from types import SimpleNamespace

import httpx
import pytest

from lab.deepgram.programs.billing import digest
from tests.ports import free_port
from tests.roles_app.conftest import load

from .bench import get

KEY = "the-licence-key"
HEALTH = load("modules", "deepgram_health")


@pytest.fixture
def billing(bench, tmp_path):
    """billing(...) -> (the program, its ports, its journal), with the configuration that the role writes."""

    def start(keys=(KEY,), certificates=True, licence=True):
        folder = tmp_path
        (folder / "journal").mkdir(exist_ok=True)
        if licence:
            (folder / "license.dg").write_text(json.dumps({"keys": [digest(key) for key in keys]}) + "\n")
        ports = {"work": free_port(), "http": free_port()}
        document = {
            "license": {"file": str(folder / "license.dg"), "journal": str(folder / "journal/journal")},
            "server": {"host": "127.0.0.1", "port": ports["work"], "base_url": "/"},
        }
        document["server"] |= {"certificates_port": ports["http"]} if certificates else {}
        program = bench.run(
            "billing", "serve", "--config", bench.config("billing.toml", document), DEEPGRAM_API_KEY=None
        )
        program.ports = ports
        return SimpleNamespace(program=program, ports=ports, journal=folder / "journal/journal")

    return start


def asking(bench, program, port, key=KEY, **changes):
    """A program behind the air gap, as the roles configure it."""
    url = f"https://localhost:{port}"
    document = {
        "license": {"server_url": url if program == "hermes" else [url], "key": key},
        "server": {"host": "127.0.0.1", "port": free_port(), **changes},
    }
    path = bench.config(f"{program}-gap.toml", document)
    return bench.run(program, "-v", "serve", path, DEEPGRAM_API_KEY="airgapped-mode")


def test_it_answers_as_the_health_check_of_the_role_asks(billing):
    one = billing()
    one.program.wait_for("Listening on https")
    assert set(get(one.program, "/v1/certificates").json()) >= {"end_of_life", "end_of_support"}
    address = f"127.0.0.1:{one.ports['work']}"
    assert HEALTH.speaks_tls(address) == ""
    params = {"metrics_url": "", "api_url": "", "license_proxy_url": "", "billing_address": address}
    assert HEALTH.look({**params, "billing_url": f"http://127.0.0.1:{one.ports['http']}"}) is None
    one.program.signal()
    assert one.program.ended() == 0


def test_certificates_are_told_where_a_port_is_set_alone(billing):
    """values.yaml: it must be set explicitly for the endpoint to be reachable."""
    one = billing(certificates=False)
    one.program.wait_for("Listening on https")
    with pytest.raises(httpx.ConnectError):
        get(one.program, "/v1/certificates")


def test_an_api_gets_its_licence_and_the_journal_grows(bench, billing):
    one = billing()
    one.program.wait_for("Listening on https")
    assert len(one.journal.read_text().splitlines()) == 1
    asking(bench, "stem", one.ports["work"]).wait_for("Listening on http")
    entries = [json.loads(line) for line in one.journal.read_text().splitlines()]
    assert [entry["event"] for entry in entries] == ["started", "checkin"] and entries[1]["component"] == "stem"
    assert KEY not in one.journal.read_text() and KEY not in one.program.output


def test_the_chain_through_a_license_proxy(bench, billing):
    one = billing()
    one.program.wait_for("Listening on https")
    status = free_port()
    proxy = asking(bench, "hermes", one.ports["work"], status_port=status)
    proxy.wait_for("Listening on https")
    proxy.ports = {"http": status}
    port = int(proxy.wait_for("Listening on https").rpartition(":")[2])
    asking(bench, "stem", port).wait_for("Listening on http")
    assert get(proxy, "/v1/status").json()["state"] == "Connected"
    one.program.kill()  # a License Proxy remembers
    asking(bench, "stem", port).wait_for("Listening on http")
    assert get(proxy, "/v1/status").json()["state"] == "TrustBased"


def test_another_key_is_refused(bench, billing):
    one = billing()
    one.program.wait_for("Listening on https")
    refused = asking(bench, "stem", one.ports["work"], key="another")
    assert refused.ended() == 1 and "401 Unauthorized" in refused.output and "another" not in refused.output


def test_without_a_licence_file_or_a_journal_it_does_not_start(billing, tmp_path):
    missing = billing(licence=False)
    assert missing.program.ended() == 1 and "license file" in missing.program.output
    (tmp_path / "journal/journal").mkdir()
    closed = billing()
    assert closed.program.ended() == 1 and "Unable to open the journal" in closed.program.output


def test_no_licence_without_a_line_in_the_journal(billing):
    """A full disk, played by a journal that cannot be written to any more: nothing that was there is lost."""
    one = billing()
    one.program.wait_for("Listening on https")
    before = one.journal.read_text()
    retained = one.journal.rename(one.journal.with_name("kept"))
    one.journal.mkdir()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reported = httpx.post(
        f"https://127.0.0.1:{one.ports['work']}/v1/checkin",
        json={"component": "stem"},
        headers={"Authorization": f"Token {KEY}"},
        verify=context,
    )
    assert reported.status_code == 503 and retained.read_text() == before
    assert "Unable to write the journal" in one.program.output


@pytest.mark.parametrize("arguments", [["-v", "serve", "--config", "x"], ["serve", "x"], ["serve"]])
def test_its_command_line_is_the_chart_s_alone(bench, arguments):
    program = bench.run("billing", *arguments)
    assert program.ended() == 2 and "error:" in program.output
