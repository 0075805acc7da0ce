"""acme_certificate: when the program is asked to order, what comes of a refusal, the timer, and that nothing of it stays."""

import json
import os
import subprocess
from types import SimpleNamespace

import pytest
from ansible.module_utils.host import systemd

from tests.roles_app.conftest import load

MODULE = load("modules", "acme_certificate")
REFUSAL = "the authority refuses: x: connection: refused. Fix: let x lead here; then on the server: systemctl start deepgram-acme"


class Host:
    """The program's answers, and systemctl's; `asked` has each command."""

    def __init__(self, due, renewal, timer):
        self.due, self.renewal, self.timer, self.asked = due, renewal, timer, []

    def __call__(self, words, timeout=60):
        self.asked.append(" ".join(words[-2:] if words[0] == "systemctl" and words[1] != "show" else words[1:]))
        if words[-1] == "due":
            return (0, json.dumps(self.due), "") if self.due else (1, "", REFUSAL)
        if words[-1] == "renew":
            return self.renewal
        if words[1] == "show":
            return 0, "ActiveState={}\nUnitFileState={}\nNeedDaemonReload=no\n".format(*self.timer), ""
        return 0, "", ""


NOTHING, FIRST = {"order": "", "deploy": False}, {"order": "there is none", "deploy": False}
RUNS, NEW = ("active", "enabled"), ("inactive", "")
DONE, REFUSED = (0, 'ordering\n{"changed": true}\n', ""), (1, "ordering\n", REFUSAL)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """module(host, check_mode=False, **params): what the module says, with its warnings."""
    program = tmp_path / "deepgram-acme"
    program.touch()

    def ran(host, check_mode=False, **changes):
        reported, warned = [], []

        def end(**words):
            reported.append(words)
            raise SystemExit

        params = {
            "state": "present",
            "program": str(program),
            "certificate": str(tmp_path / "c"),
            "log": "/log",
            "paths": [],
            **changes,
        }
        one = SimpleNamespace(params=params, check_mode=check_mode, exit_json=end, fail_json=end, warn=warned.append)
        monkeypatch.setattr(MODULE, "AnsibleModule", lambda **_: one)
        monkeypatch.setattr(MODULE, "run", host)
        monkeypatch.setattr(systemd, "run", host)
        with pytest.raises(SystemExit):
            MODULE.main()
        return {**reported[0], "warned": warned}

    return ran


def test_the_first_time_it_is_ordered_and_the_timer_started(module):
    host = Host(FIRST, DONE, NEW)
    assert module(host) == {"changed": True, "reason": "there is none", "warned": []}
    assert (
        "renew" in host.asked
        and "enable deepgram-acme.timer" in host.asked
        and "restart deepgram-acme.timer" in host.asked
    )


def test_the_second_time_nothing_is_done(module):
    host = Host(NOTHING, DONE, RUNS)
    assert module(host)["changed"] is False
    assert [
        asked for asked in host.asked if asked not in ("due",) and "show" not in asked and "--property" not in asked
    ] == []


@pytest.mark.parametrize(
    ("due", "timer", "changed"),
    [
        (NOTHING, RUNS, False),
        (FIRST, RUNS, True),
        (NOTHING, NEW, True),
        ({"order": "", "deploy": True}, RUNS, True),
        ({}, RUNS, True),
    ],
)
def test_check_mode_says_so_and_does_nothing(module, due, timer, changed):
    host = Host(due, DONE, timer)
    assert module(host, check_mode=True)["changed"] is changed
    assert "renew" not in host.asked and not any("enable" in asked for asked in host.asked)


def test_check_mode_on_a_blank_host(module):
    host = Host(NOTHING, DONE, NEW)
    assert module(host, check_mode=True, program="/nowhere")["changed"] is True and host.asked == []


def test_a_refusal_is_an_error_with_its_fix(module):
    reported = module(Host(FIRST, REFUSED, NEW))
    assert reported["msg"].startswith(
        "no certificate from the ACME authority: the authority refuses: x: connection: refused. Fix: let x"
    )
    assert reported["fix"].startswith("let x lead here") and "enable" not in reported


@pytest.fixture
def certificate(tmp_path):
    """certificate(days): what NGINX has."""

    def made(days):
        words = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "k",
        ]
        words += ["-out", "c", "-subj", "/CN=x", "-days", str(days)]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)

    return made


@pytest.mark.parametrize(("days", "fails"), [(20, False), (10, True)])
def test_a_renewal_that_fails_is_a_warning_while_there_is_time(module, certificate, days, fails):
    certificate(days)
    reported = module(Host({"order": f"it ends in {days} days", "deploy": False}, REFUSED, RUNS))
    assert ("msg" in reported) is fails
    if not fails:
        assert reported["changed"] is False and REFUSAL.partition(". Fix")[0] in reported["warned"][0]


def test_another_name_is_no_matter_of_time(module, certificate):
    certificate(90)
    assert "msg" in module(Host({"order": "its names differ", "deploy": False}, REFUSED, RUNS))


def test_nothing_stays(module, tmp_path, monkeypatch):
    monkeypatch.setattr(MODULE, "UNITS", str(tmp_path))
    (tmp_path / "etc/live").mkdir(parents=True)
    for name in ("deepgram-acme.timer", "etc/live/privkey.pem"):
        (tmp_path / name).touch()
    paths = [str(tmp_path / name) for name in ("deepgram-acme.timer", "etc", "not-there")]
    host = Host(NOTHING, DONE, RUNS)
    assert module(host, state="absent", paths=paths, check_mode=True)["changed"] is True and os.path.exists(paths[0])
    assert module(host, state="absent", paths=paths)["changed"] is True
    assert not any(map(os.path.exists, paths)) and "--now deepgram-acme.timer" in host.asked
    host.asked.clear()
    assert module(host, state="absent", paths=paths)["changed"] is False and host.asked == []
