"""The deployment's own authority and the certificates that it signs, with the real openssl and the real action plugin."""

import contextlib
import os
import ssl
import stat
import time
from types import SimpleNamespace

import pytest
from cryptography import x509

from tests.roles_app.conftest import load

MODULE = load("modules", "api_certificate")
ACTION = load("action", "api_certificate")
NAMES = ["deepgram-api", "gpu1", "192.0.2.11", "localhost"]
DAY = 86400


@pytest.fixture(autouse=True)
def short_keys(monkeypatch):
    """Making those of servers takes seconds."""
    monkeypatch.setattr(MODULE, "KEY", ("ec", "ec_paramgen_curve:P-256"))
    monkeypatch.setattr(ACTION, "KEY_BITS", 2048)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """server(names, check=False) -> what the task says of a server whose directory is below `tmp_path`."""
    runs = []

    def execute(module_args=None, task_vars=None, **_):
        runs.append(module_args)
        params = {
            "certificate_content": None,
            "key_content": None,
            "renew_days": 30,
            "owner": os.geteuid(),
            "days": 397,
        }
        params |= {"authority": "", **module_args, "directory": str(tmp_path / "etc")}
        return {**MODULE.outcome(params, plugin._task.check_mode), "authority": params["authority"]}

    plugin = ACTION.ActionModule.__new__(ACTION.ActionModule)
    monkeypatch.setattr(ACTION.ActionBase, "run", lambda *_: {})
    plugin._execute_module = execute

    def reported(names=NAMES, check=False, **more):
        plugin._task = SimpleNamespace(args={"names": names, **more}, check_mode=check)
        return plugin.run(task_vars={"inventory_dir": str(tmp_path)})

    reported.runs, reported.etc, reported.folder = runs, tmp_path / "etc", tmp_path / "api-authority"
    return reported


def test_a_server_gets_a_certificate_once_and_keeps_it(server):
    first = server()
    assert first["changed"] and first["reason"] == "there is none"
    files = {path.name: path for path in server.etc.iterdir()}
    assert set(files) == {"api.crt", "api.key", "authority.crt"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert stat.S_IMODE((server.folder / "authority.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    before = {name: path.read_bytes() for name, path in files.items()}
    again = server()
    assert (again["changed"], again["reason"]) == (False, "") and again["renew_at"] == first["renew_at"]
    assert {name: path.read_bytes() for name, path in files.items()} == before
    assert 366 * DAY < again["renew_at"] - time.time() < 368 * DAY
    assert not any("PRIVATE" in str(one) for one in server.runs), "a key went over the wire"


def test_clients_know_it_by_the_authority_and_each_of_its_names(server):
    server()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(server.etc / "api.crt", server.etc / "api.key")

    def shaken(name, trusted):
        client = ssl.create_default_context(cafile=trusted)
        one, other, back, forth = (ssl.MemoryBIO() for _ in range(4))
        here, there = client.wrap_bio(one, other, server_hostname=name), serving.wrap_bio(back, forth, server_side=True)
        for _ in range(6):
            for side, out, into in ((here, other, back), (there, forth, one)):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                into.write(out.read())
        return here.version()

    for name in NAMES:
        assert shaken(name, server.folder / "authority.crt") == "TLSv1.3"
    for name, trusted in (("another", server.folder / "authority.crt"), ("localhost", None)):
        with pytest.raises(ssl.SSLCertVerificationError):
            shaken(name, trusted)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda server: (server.etc / "api.key").write_text("x"), "do not belong together"),
        (lambda server: (server.etc / "api.crt").unlink(), "there is none"),
        (lambda server: [path.unlink() for path in server.folder.glob("authority.*")], "another authority signed it"),
    ],
)
def test_what_does_not_fit_any_more_is_renewed(server, break_it, reason):
    server()
    break_it(server)
    assert reason in server()["reason"] and server()["changed"] is False


def test_other_names_and_a_near_end_make_another_certificate(server):
    server()
    assert server([*NAMES, "gpu1.example.com"])["reason"] == "its names differ"
    assert server([*NAMES, "gpu1.example.com"], renew_days=398)["reason"] == "it ends in less than 398 days"


def test_check_mode_writes_nothing_on_a_blank_server(server):
    reported = server(check=True)
    assert reported["changed"] and not server.etc.exists() and not server.folder.exists()
    assert server(state="authority", check=True)["authority"].startswith("-----BEGIN CERTIFICATE")
    assert not server.folder.exists()


def test_the_user_s_own_files_are_put_in_place_and_never_renewed(server, tmp_path):
    server()
    own = {name: (server.etc / f"api.{end}").read_text() for name, end in (("certificate", "crt"), ("key", "key"))}
    for path in server.etc.iterdir():
        path.unlink()
    given = {"certificate_content": own["certificate"], "key_content": own["key"], "authority": "theirs"}
    reported = server(**given)
    assert (reported["changed"], reported["renew_at"]) == (True, 0) and (server.etc / "api.key").read_text() == own[
        "key"
    ]
    assert server(**given)["changed"] is False


def test_an_authority_is_followed_by_a_new_one_that_is_known_before_it_signs(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=time.time())
    real = ACTION.datetime

    class Clock(real):
        @classmethod
        def now(cls, tz=None):
            return real.fromtimestamp(clock.now, tz)

    monkeypatch.setattr(ACTION, "datetime", Clock)
    monkeypatch.setattr(ACTION.time, "time", lambda: clock.now)
    first = ACTION.Authority(tmp_path / "a", 397)
    assert first.made and not ACTION.Authority(tmp_path / "a", 397).made
    assert first.renew_at == pytest.approx(clock.now + (3650 - 397 - 180) * DAY, abs=2 * 3600)
    clock.now = first.renew_at + 60
    both = ACTION.Authority(tmp_path / "a", 397)
    assert both.made and len(x509.load_pem_x509_certificates(both.pem.encode())) == 2
    assert both.signer()[0] == first.known[0][0], "no proxy knows the new one yet"
    clock.now += 91 * DAY
    later = ACTION.Authority(tmp_path / "a", 397)
    assert not later.made and later.signer()[0] == both.known[0][0] != first.known[0][0]
