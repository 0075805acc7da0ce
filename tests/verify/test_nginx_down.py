"""With NGINX stopped or masked one check says so with the command, and those that follow from it are not asked."""

import pytest

from dgctl.verify import facts
from dgctl.verify.ask import Answer
from dgctl.verify.checks import test_tls
from dgctl.verify.expect import Expect, Unmet


def running(unit):
    noted = {}
    test_tls.test_running(unit, Expect(noted.__setitem__))
    return noted


def test_a_masked_nginx_is_named_with_the_command():
    with pytest.raises(Unmet) as unmet:
        running({"ActiveState": "inactive", "UnitFileState": "masked"})
    assert unmet.value.reported["seen"] == "nginx is masked"
    assert unmet.value.reported["fix"].startswith("systemctl unmask nginx; ")


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_a_stopped_nginx(state):
    with pytest.raises(Unmet) as unmet:
        running({"ActiveState": state, "UnitFileState": "enabled"})
    assert unmet.value.reported["seen"] == f"nginx is {state}" and "unmask" not in unmet.value.reported["fix"]


def test_one_that_runs():
    assert running({"ActiveState": "active", "UnitFileState": "enabled"})["seen"] == "nginx is active"


proxy = facts.proxy.__wrapped__ if hasattr(facts.proxy, "__wrapped__") else facts.proxy._get_wrapped_function()
WANTED = {"nginx_proxy_server_name": "speech.example.com", "nginx_proxy_port": 443, "nginx_proxy_callers": "open"}


@pytest.mark.parametrize("source", ["self-signed", None, "files", "acme"])
def test_what_is_trusted_by_the_certificate_s_source(source, monkeypatch, tmp_path):
    """The server's own certificate is pinned; of an ACME authority its root is trusted beside the system's."""
    (tmp_path / "ca.pem").write_text("root of the company")
    monkeypatch.setattr(
        facts, "ask", lambda host, asked: {name: Answer(0, "-----BEGIN CERTIFICATE-----") for name in asked}
    )
    desired = {**WANTED, "nginx_proxy_tls_source": source, "nginx_proxy_acme_ca_file": str(tmp_path / "ca.pem")}
    found = proxy({"ActiveState": "active"}, None, "192.0.2.11", False, "gpu1", {}, desired)
    assert (found.only_trust is None) is (source in ("files", "acme"))
    assert found.also_trust == ("root of the company" if source == "acme" else "")


def test_what_needs_it_says_what_it_follows_from():
    with pytest.raises(pytest.skip.Exception, match="follows from: nginx is not running"):
        proxy({"ActiveState": "inactive"}, None, "192.0.2.11", False, "gpu1", {}, {})
