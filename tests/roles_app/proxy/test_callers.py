"""Who may call: the program that NGINX asks, and the module that has it run."""

import hashlib
import importlib.util
import json
import os
import socket
import tempfile
import threading
from types import SimpleNamespace

import pytest
from ansible.module_utils.host import systemd as service_manager

from tests.roles_app.conftest import ROOT, load

SPEC = importlib.util.spec_from_file_location("callers", ROOT / "roles/nginx_proxy/files/callers.py")
PROGRAM = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PROGRAM)
MODULE = load("modules", "deepgram_callers")

KEY, OWN = "k" * 64, "o" * 64
DIGEST, OWN_DIGEST = (hashlib.sha256(key.encode()).hexdigest() for key in (KEY, OWN))
SHOWN = {"x-certificate": "SUCCESS", "x-subject": "CN=phone gateway,O=Acme"}


def key(text=KEY):
    return {"x-authorization": f"Token {text}"}


@pytest.mark.parametrize(
    ("authorization", "protocols", "found"),
    [
        (f"Token {KEY}", "", (KEY, "")),
        (f"token  {KEY}", "", (KEY, "")),
        (f"Bearer {KEY}", "", (KEY, "")),
        ("", f"token, {KEY}", (KEY, "token")),
        ("", f"bearer,{KEY}", (KEY, "bearer")),
        (f"Bearer {KEY}", "token, other", (KEY, "")),
        ("", f"token, {KEY}, more", ("", "")),
        ("Basic eDp5", f"token, {KEY}", ("", "")),
        (f"Token {KEY} {KEY}", "", ("", "")),
        ("Token", "", ("", "")),
        ("", KEY, ("", "")),
        ("", "", ("", "")),
    ],
)
def test_a_key_comes_in_three_forms(authorization, protocols, found):
    assert PROGRAM.credential(authorization, protocols) == found


@pytest.mark.parametrize(
    ("accept", "question", "caller"),
    [
        ("keys", key(), "billing"),
        ("keys", key("x" * 64), ""),
        ("keys", SHOWN, ""),
        ("keys", key(DIGEST), ""),
        ("certificates", key(), ""),
        ("certificates", SHOWN, "cert:phone_gateway"),
        ("certificates", {**SHOWN, "x-certificate": "FAILED:expired"}, ""),
        ("certificates", {"x-certificate": "NONE"}, ""),
        ("either", key(), "billing"),
        ("either", SHOWN, "cert:phone_gateway"),
        ("either", {}, ""),
        ("both", key(), ""),
        ("both", SHOWN, ""),
        ("both", {**key(), **SHOWN}, "billing"),
        *((accept, key(OWN), "dgctl") for accept in PROGRAM.ACCEPT),
    ],
)
def test_what_a_caller_must_show(accept, question, caller):
    assert PROGRAM.judged(question, (accept, {DIGEST: "billing"}), OWN_DIGEST) == (caller, "")


def test_no_key_is_never_the_key_of_nobody():
    """Neither an empty table, nor a server without a key of its own, lets somebody in who shows nothing."""
    empty = hashlib.sha256(b"").hexdigest()
    assert PROGRAM.judged({}, ("keys", {empty: "x", "": "y"}), "")[0] == ""
    assert PROGRAM.judged(key(""), ("keys", {empty: "x"}), empty)[0] == ""


@pytest.mark.parametrize(
    "subject", ["O=x,CN=a\\,b\r\nX-Caller: dgctl", "CN=dgctl", "CN=" + "ä" * 200, "O=nobody", "CN=", ""]
)
def test_a_certificate_s_name_writes_no_header(subject):
    name = PROGRAM.certificate("SUCCESS", subject)
    assert name.startswith("cert:") and set(name) <= set("abcdefghijklmnopqrstuvwxyzCN:XD_-") | set("ABCDEFGHIJKLM")
    assert len(name) <= 69


@pytest.fixture
def serving(tmp_path, monkeypatch):
    """ask(**headers) of a program that serves; `ask.config` is its file."""
    monkeypatch.setattr(PROGRAM, "CONFIG", str(tmp_path / "callers.json"))
    monkeypatch.setattr(PROGRAM, "OWN", str(tmp_path / "own"))
    listener = socket.socket(socket.AF_UNIX)
    with tempfile.TemporaryDirectory() as short:  # a socket's path has at most 107 bytes
        listener.bind(f"{short}/sock")
        listener.listen()
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(f"{short}/sock")
    write(tmp_path / "callers.json", {"billing": KEY})
    PROGRAM.own_key()
    threading.Thread(target=PROGRAM.serve, args=(listener,), daemon=True).start()
    stream.settimeout(5)

    def ask(**headers):
        lines = [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        stream.sendall(("\r\n".join(["GET /deepgram-callers HTTP/1.1", *lines]) + "\r\n\r\n").encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += stream.recv(4096)
        return answer.decode()

    ask.config, ask.own, ask.stream = tmp_path / "callers.json", tmp_path / "own", stream
    return ask


def write(path, keys, accept="keys"):
    digests = {hashlib.sha256(key.encode()).hexdigest(): name for name, key in keys.items()}
    new = path.with_name("new")
    new.write_text(json.dumps({"accept": accept, "keys": digests}))
    os.replace(new, path)


def test_a_kept_connection_learns_of_new_and_revoked_keys(serving):
    assert "X-Caller: billing\r\n" in serving(X_Authorization=f"Token {KEY}")
    write(serving.config, {"billing-2": "n" * 64})
    assert serving(X_Authorization=f"Token {KEY}").startswith("HTTP/1.1 401 ")
    answer = serving(X_Authorization="", X_Protocols=f"token, {'n' * 64}")
    assert "X-Caller: billing-2\r\n" in answer and "X-Subprotocol: token\r\n" in answer


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"accept": "all", "keys": {}}', '{"accept": "keys"}'])
def test_a_torn_file_opens_nothing_and_closes_nothing(serving, torn):
    serving(X_Authorization=f"Token {KEY}")
    serving.config.write_text(torn)
    assert "X-Caller: billing" in serving(X_Authorization=f"Token {KEY}")
    assert serving(X_Authorization="Token other").startswith("HTTP/1.1 401 ")
    write(serving.config, {})
    assert serving(X_Authorization=f"Token {KEY}").startswith("HTTP/1.1 401 ")


def test_the_server_s_own_key_is_for_root_alone_and_stays_until_boot(serving):
    own = (serving.own / "own.key").read_text().strip()
    assert (serving.own / "own.key").stat().st_mode & 0o777 == 0o600 and len(own) == 64
    assert "X-Caller: dgctl\r\n" in serving(X_Authorization=f"Token {own}")
    PROGRAM.own_key()
    assert (serving.own / "own.key").read_text().strip() == own
    assert own not in (serving.own / "own.sha256").read_text()


def test_the_program_may_read_the_digest_of_a_key_made_under_the_unit_s_umask(tmp_path, monkeypatch):
    monkeypatch.setattr(PROGRAM, "OWN", str(tmp_path / "own"))
    before = os.umask(0o077)
    try:
        PROGRAM.own_key()
    finally:
        os.umask(before)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("own", "own/own.sha256", "own/own.key")}
    assert modes == {"own": 0o755, "own/own.sha256": 0o644, "own/own.key": 0o600}


def test_an_endless_question_ends_its_connection(serving):
    serving.stream.settimeout(5)
    with pytest.raises(OSError):
        for _ in range(64):
            serving.stream.sendall(b"x" * (64 << 10))
        raise OSError(serving.stream.recv(10) or "closed")


class Systemd:
    """Stands for systemctl: what is there, and what was done."""

    def __init__(self, tmp_path):
        self.units, self.done, self.refused = {}, [], ()
        self.own = tmp_path / "own.key"

    def run(self, words, timeout=0):
        _, verb, *names = words
        if verb == "show":
            seen = self.units.get(names[-1], {})
            return 0, "".join(f"{name}={text}\n" for name, text in seen.items()), ""
        self.done.append((verb, *names))
        if verb in self.refused:
            return 1, "", f"Failed to {verb} {names[-1]}: Unit is masked.\n"
        for name in names if verb in ("start", "restart") else ():
            self.units.setdefault(name, {}).update(ActiveState="active", MainPID="7")
            self.own.write_text("key")
        for name in names if verb == "enable" else ():
            self.units.setdefault(name, {}).update(UnitFileState="enabled")
        return 0, "", ""


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    fake = Systemd(tmp_path)
    for user in (MODULE, service_manager):
        monkeypatch.setattr(user, "run", fake.run)
    monkeypatch.setattr(MODULE, "started", lambda pid: 1e9 if pid == "7" else None)
    monkeypatch.setattr(MODULE, "OWN", str(fake.own))
    monkeypatch.setattr(MODULE, "UNITS", str(tmp_path))
    fake.program = tmp_path / "program"
    fake.program.write_text("")
    os.utime(fake.program, (1e8, 1e8))
    return fake


def module(systemd, check_mode=False, **params):
    params = {"reads": [str(systemd.program)], "files": [], **params}
    return SimpleNamespace(check_mode=check_mode, params=params)


def test_it_is_started_once_and_again_for_another_program(systemd):
    assert MODULE.present(module(systemd, check_mode=True)) and systemd.done == []
    assert MODULE.present(module(systemd)) and ("restart", MODULE.SERVICE) in systemd.done
    assert not MODULE.present(module(systemd))
    os.utime(systemd.program, (1.1e9, 1.1e9))
    systemd.done.clear()
    with pytest.raises(AttributeError):  # what starts is older still: it fails
        MODULE.present(module(systemd))
    assert systemd.done[-1] == ("restart", MODULE.SERVICE)


@pytest.mark.parametrize("verb", ["enable", "start", "restart"])
def test_a_command_of_systemd_that_fails_is_said(systemd, verb):
    def fail_json(**result):
        raise RuntimeError(result["msg"])

    systemd.refused = (verb, "reset-failed")  # a unit that never failed is no fault
    asked = module(systemd)
    asked.fail_json = fail_json
    with pytest.raises(RuntimeError, match=f"systemctl {verb} .*Unit is masked.*Fix: "):
        MODULE.present(asked)


def test_a_lost_key_of_its_own_is_made_again(systemd):
    MODULE.present(module(systemd))
    systemd.own.unlink()
    assert MODULE.present(module(systemd)) and systemd.own.exists()


def test_nothing_is_left_of_it(systemd):
    unit = systemd.own.with_name(MODULE.SERVICE)
    unit.write_text("")
    files = [str(systemd.program), str(unit)]
    assert MODULE.absent(module(systemd, files=files, check_mode=True)) and systemd.done == []
    assert MODULE.absent(module(systemd, files=files))
    assert systemd.done == [("disable", "--now", MODULE.SERVICE), ("daemon-reload",)]
    assert not MODULE.absent(module(systemd, files=files))
