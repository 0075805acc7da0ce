"""self_signed_certificate and deepgram_tls with the real openssl."""

import os
import ssl
import stat
import subprocess
import time

import pytest
from ansible.module_utils.deepgram import http as deepgram_http
from ansible.module_utils.deepgram import tls as deepgram_tls

from tests.roles_app.conftest import load, results

MODULE = load("modules", "self_signed_certificate")


@pytest.fixture(autouse=True)
def mask():
    """The module narrows its process's umask, which here is that of all tests."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def params(tmp_path):
    return {
        "certificate": str(tmp_path / "tls" / "c.crt"),
        "key": str(tmp_path / "tls" / "c.key"),
        "names": ["gpu1.test", "192.0.2.11"],
        "days": 100,
        "renew_days": 30,
    }


@pytest.fixture
def made(params):
    MODULE.make(params)
    return params


@pytest.mark.parametrize("part", ["certificate", "key"])
def test_a_file_with_something_else_in_it_is_not_kept(made, part):
    with open(made[part], "a") as file:
        file.write("x")
    assert MODULE.unfit(made) == "its file, or its key's, holds something else too"


def test_is_good_for_its_names_and_kept(made):
    assert MODULE.unfit(made) == ""
    assert (
        stat.S_IMODE(os.stat(made["key"]).st_mode) == 0o600
        and stat.S_IMODE(os.stat(made["certificate"]).st_mode) == 0o644
    )
    for kind, name in (("verify_hostname", "gpu1.test"), ("verify_ip", "192.0.2.11")):
        argv = [
            "openssl",
            "verify",
            "-x509_strict",
            "-CAfile",
            made["certificate"],
            f"-{kind}",
            name,
            made["certificate"],
        ]
        assert subprocess.run(argv, capture_output=True).returncode == 0
    ssl.create_default_context().load_cert_chain(made["certificate"], made["key"])
    assert sorted(os.listdir(os.path.dirname(made["key"]))) == ["c.crt", "c.key"]


@pytest.mark.parametrize(
    "change, why",
    [
        ({"names": ["gpu2.test"]}, "its names differ"),
        ({"renew_days": 101}, "it ends in less than 101 days"),
        ({"key": "/nowhere"}, "there is none"),
    ],
)
def test_is_renewed_when_it_no_longer_fits(made, change, why):
    assert MODULE.unfit({**made, **change}) == why


def test_is_renewed_for_another_key_or_an_open_one(made, tmp_path):
    other = {**made, "certificate": str(tmp_path / "o.crt"), "key": str(tmp_path / "o.key")}
    MODULE.make(other)
    assert MODULE.unfit({**made, "key": other["key"]}) == "certificate and key do not belong together"
    os.chmod(made["key"], 0o644)
    assert MODULE.unfit(made) == "others than root could read its key"


def test_long_name_is_cut_only_in_the_subject(params):
    params["names"] = [f"{'a' * 63}.{'b' * 30}.test"]
    MODULE.make(params)
    assert MODULE.unfit(params) == ""


def test_description_says_names_and_end(made):
    found = deepgram_tls.describe(made["certificate"])
    assert found["names"] == ["gpu1.test", "192.0.2.11"]
    assert deepgram_http.days_left(found["not_after"], time.time()) in (99, 100)
    with pytest.raises(OSError):
        deepgram_tls.describe("/nowhere")


@pytest.fixture
def module(params, monkeypatch):
    """module(check_mode=False, **changes): what the module reports."""

    def run(check_mode=False, **changes):
        reported = results(monkeypatch, MODULE, params | changes, check_mode)
        with pytest.raises(SystemExit):
            MODULE.main()
        return reported[0]

    return run


def test_is_made_once_and_again_when_it_is_due(module, params):
    assert module(check_mode=True) == {"changed": True, "reason": "there is none", "renew_at": 0}
    assert not os.path.exists(params["key"])
    first = module()
    assert first["changed"] and abs(first["renew_at"] - (time.time() + 70 * 86400)) < 120
    assert module() == {"changed": False, "reason": "", "renew_at": first["renew_at"]}
    with open(params["key"]) as file:
        before = file.read()
    due = module(check_mode=True, renew_days=101)
    assert due["changed"] and due["renew_at"] < time.time()
    with open(params["key"]) as file:
        assert file.read() == before
    assert module(renew_days=101)["changed"]
    with open(params["key"]) as file:
        assert file.read() != before


def test_a_certificate_of_somebody_else_is_not_kept_for_ours(made, tmp_path):
    """Signed by an authority: it would end without being renewed by whom it belongs to."""
    request, signed = str(tmp_path / "r.csr"), str(tmp_path / "s.crt")
    subprocess.run(["openssl", "req", "-new", "-key", made["key"], "-subj", "/CN=x", "-out", request], check=True)
    words = ["openssl", "x509", "-req", "-in", request, "-CA", made["certificate"], "-CAkey", made["key"], "-days", "9"]
    subprocess.run([*words, "-CAcreateserial", "-out", signed], check=True, capture_output=True)
    assert MODULE.unfit({**made, "certificate": signed}) == "it is not self-signed"


def test_openssl_that_is_missing_or_refuses_is_reported(module, params, monkeypatch, tmp_path):
    reported = module(days=0, names=["bad name\n"])
    assert "no certificate could be made: " in reported["msg"] and reported["fix"] and not os.path.exists(params["key"])
    assert os.listdir(os.path.dirname(params["key"])) == []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "openssl is not installed" in module()["msg"]
    (tmp_path / "tls/c.crt").write_text("x")
    (tmp_path / "tls/c.key").write_text("x")
    os.chmod(params["key"], 0o600)
    assert module(check_mode=True) == {"changed": True, "reason": "there is none", "renew_at": 0}


def test_one_that_only_has_to_be_there_is_anybody_s(made, tmp_path):
    """Before an ACME authority gives one: NGINX needs a certificate to run, and what it has is kept."""
    other = {**made, "names": ["other.test"], "renew_days": 101, "replace": False}
    assert MODULE.unfit(other) == "" and MODULE.unfit({**other, "replace": True}) == "its names differ"
    with open(made["certificate"], "a") as chain, open(made["certificate"]) as own:
        chain.write(own.read())  # an intermediate certificate follows
    assert MODULE.unfit(other) == ""
    assert MODULE.unfit({**other, "key": "/nowhere"}) == "there is none"
    os.chmod(made["key"], 0o644)
    assert MODULE.unfit(other) == "others than root could read its key"
