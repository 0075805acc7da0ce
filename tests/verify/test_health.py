"""Verify asks the doctor what it does not ask itself: the same questions as `dgctl doctor`, in one round trip."""

from __future__ import annotations

import ast
import json
import os
import sys

import pytest
import yaml
from testinfra.host import Host

from dgctl import content
from dgctl.base.ssh import Route
from dgctl.content import bundle
from dgctl.verify import health, suite
from dgctl.verify.checks.test_health import test_health as check_health
from dgctl.verify.connection import Connection
from dgctl.verify.desired import desired
from dgctl.verify.expect import Expect, Unmet
from dgctl.verify.plugin import _runs_here
from tests import documented
from tests.paths import PROJECT

FOLDER = content.utilities()


def test_the_same_is_asked_as_by_the_playbook():
    asked = health.request_for("gpu1", desired({}), engine=True)
    assert set(asked) | {"controller_time"} == set(documented.options("host_doctor"))
    play = yaml.safe_load((PROJECT / "playbooks/doctor.yml").read_text())[0]
    given = next(task["host_doctor"] for task in play["tasks"] if "host_doctor" in task)
    assert set(asked["tables"]) == set(given["tables"])
    assert len(json.dumps(asked)) < 30_000


def suites_checks() -> set[str]:
    """`driver.loaded` and the like, of the suite's other files."""
    found = set()
    for path in suite.CHECKS.glob("test_*.py"):
        subject = path.stem.removeprefix("test_")
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                name = node.name.removeprefix("test_")
                found.add(name if name == subject else f"{subject}.{name}")
    return found


def test_what_verify_has_itself_is_not_asked_twice():
    ours = suites_checks()
    for check in content.utility("doctor.doctor").CHECKS:
        for name in check.verify:
            assert name in ours or name.rpartition(".")[0] in ours, f"{check.name}: verify has no {name}"
    assert set(health.checks()) == {check.name for check in content.utility("doctor.doctor").CHECKS if not check.verify}
    assert "nouveau" not in health.checks() and "package state" in health.checks()


@pytest.fixture
def here():
    """This machine as testinfra has it, and how many commands it was given."""
    backend = Connection("here", Route("127.0.0.1"), {})
    backend.set_host(Host(backend))
    return backend


def test_the_program_travels_on_stdin(here, monkeypatch):
    """An argument may have 128 KiB, and a password for sudo is still before the program where sudo did not take it."""
    here.secrets["become"] = "s3cret"
    longer = bundle.packed(
        f"# {os.urandom(200_000).hex()}\nprint({content.utility('doctor.doctor').MARK!r} + _request)"
    )
    monkeypatch.setattr(health.bundle, "program", lambda folder, entry: longer)
    monkeypatch.setattr(health.json, "loads", lambda text: [{"check": "all", "request": text}])
    assert (
        len(longer) > 128 * 1024 and "gpu_count" in health.ask(here._host, "here", desired({}), False)["all"]["request"]
    )


@pytest.mark.parametrize("engine", [True, False])
def test_one_round_trip_tells_of_every_check(here, engine):
    found = health.ask(here._host, "here", desired({}), engine)
    assert here.commands == 1
    assert set(found) == {check.name for check in content.utility("doctor.doctor").CHECKS if engine or not check.gpu}
    assert found["clock"]["verdict"] == "pass"
    assert not [one for one in found.values() if "cannot be inspected" in one["seen"]]


def test_the_python_that_the_inventory_names_runs_it(here, tmp_path):
    """Enterprise Linux 8: python3 of PATH is 3.6, and Ansible is told of /usr/bin/python3.9."""
    python = tmp_path / "python3.9"
    python.write_text(f'#!/bin/sh\ntouch {tmp_path}/used\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert health.ask(here._host, "here", desired({"ansible_python_interpreter": str(python)}), False)
    assert (tmp_path / "used").exists()
    assert {bundle.interpreter(named) for named in (None, "auto", "auto_silent")} == {"python3"}


def test_a_host_that_cannot_run_it_is_no_healthy_one(here, monkeypatch):
    monkeypatch.setattr(health.bundle, "BOOT", "raise SystemExit('no such thing')")
    with pytest.raises(ValueError, match="no such thing"):
        health.ask(here._host, "here", desired({}), False)


def test_the_sources_need_the_standard_library_alone():
    text = bundle.sources(FOLDER, {"doctor.doctor"})
    assert "doctor.driver" in text and "model_files" not in text


class Item:
    def __init__(self, parameters, parts):
        self.callspec = type("Callspec", (), {"params": {"host_name": "h", **parameters}})
        from dgctl.verify import plugin

        self.config = type("Config", (), {"stash": {plugin._plan: {"hosts": {"h": {"parts": parts}}}}})


def test_checks_of_gpus_are_made_where_an_engine_runs():
    assert _runs_here(Item({"health_check": "gpu answers"}, ["engine"]))
    assert not _runs_here(Item({"health_check": "gpu answers"}, ["api"]))
    assert _runs_here(Item({"health_check": "disk"}, []))


@pytest.mark.parametrize("verdict", ["pass", "fail", "skip"])
def test_a_finding_becomes_a_check(verdict):
    found = {"check": "disk", "verdict": verdict, "seen": "full", "expected": "room", "fix": "rm", "cause": "logs"}
    reported: dict[str, str] = {}
    expect = Expect(reported.__setitem__)
    try:
        check_health({"disk": found}, "disk", reported.__setitem__, expect)
        result = "pass"
    except Unmet as unmet:
        result, reported = "fail", reported | unmet.reported
    except pytest.skip.Exception:
        result = "skip"
    assert result == verdict
    if verdict == "fail":
        assert reported == {"cause": "logs", "seen": "full", "expected": "room", "fix": "rm"}
