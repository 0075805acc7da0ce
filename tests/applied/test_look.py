"""The look as a whole: its states, its answer, what verification leaves, and what it costs to load."""

import ast
import json
import sys

import pytest
from ansible.module_utils.host import record as host_record

from dgctl.content import imports
from tests.applied.assembled import SOURCES

STANDARD = {*sys.stdlib_module_names, "_sha2", "_sha256"}  # the name of these two differs by Python's version


def test_a_change_says_what_was_applied(host):
    desired = {"fingerprint": "f1", "content": "c", "variables": {"role_port": 443, "role_key": {"secret": "d1"}}}
    host.record(desired=desired, files=[host.file("a")])
    reported = host.role(fingerprint="f2")
    assert (reported["state"], reported["applied"], reported["drift"]) == ("changed", desired, [])
    assert "applied" not in host.role(fingerprint="f1")


def test_drift_is_told_beside_a_change(host):
    path = host.file("a")
    host.record(files=[path])
    host.file("a", "other")
    reported = host.role(fingerprint="f2")
    assert reported["state"] == "changed"
    assert reported["drift"] == [{"thing": f"file {path}", "how": "content differs"}]
    assert host.role()["state"] == "drifted"


def test_each_role_has_its_own_drift(host):
    paths = {role: host.file(role) for role in ("one", "two")}
    for role, path in paths.items():
        host.record(role=role, files=[path])
    host.file("two", "other")
    reported = host.ask(one="f1", two="f1")[0]["roles"]
    assert [entry["state"] for entry in reported.values()] == ["right", "drifted"]


def test_the_answer_around_the_roles(host):
    host.record()
    reported, _ = host.ask()
    parts = {"format", "seconds", "time", "boot_id", "roles", "verified", "answers", "reports", "system", "lease"}
    assert set(reported) == parts
    assert (reported["format"], reported["verified"], reported["answers"]) == (1, False, {})
    assert set(reported["system"]) <= {"ID", "VERSION_ID"} and reported["system"]["ID"]
    assert len(reported["boot_id"]) == 36 and reported["time"] > 1.7e9 and 0 < reported["seconds"] < 30


def test_verified_holds_for_the_same_fingerprints_until_a_run_begins(host):
    host.record()
    assert host.ask("verified")[0] == {"format": 1, "verified": True}
    assert host.ask()[0]["verified"] is True
    assert host.ask(role="f2")[0]["verified"] is False
    assert host.ask(role="f1", other="f1")[0]["verified"] is False
    assert host.ask(host="gpu2")[0]["verified"] is False
    host.module(state="begun", host="gpu1", begin=["role"])
    assert host.ask()[0]["verified"] is False


def test_an_edited_verification_does_not_count(host):
    host.record()
    host.ask("verified", role="f1")
    path = host.root / "state" / "verified.json"
    path.write_text(path.read_text().replace("f1", "f2"))
    assert host.ask(role="f2")[0]["verified"] is False


def test_a_kind_that_nobody_knows_is_drift(host):
    host.record()
    record = json.loads(host.path.read_text())
    record["things"]["moons"] = {"io": 1}
    record["sum"] = host_record.checksum(record)
    host.path.write_text(json.dumps(record))
    assert host.drift() == ["moons: cannot be compared: KeyError: 'moons'"]


def test_due_for_renewal(host):
    host.record(until=1767225600)
    assert host.drift() == ["certificate: due for renewal since 2026-01-01 00:00 UTC"]
    host.record(until=4102444800)
    assert host.drift() == []


def test_nothing_in_the_answer_is_a_hash_or_a_content(host):
    path = host.file("a", "hunter2")
    host.record(files=[path])
    host.file("a", "hunter3")
    text = json.dumps(host.ask()[0])
    record = json.loads(host.path.read_text())
    assert record["things"]["files"][path]["sha256"] not in text and "hunter" not in text


@pytest.mark.controller_only  # Python 3.9's own `platform` loads subprocess
def test_nothing_heavy_is_loaded(host):
    host.unit("x.service")
    host.record(files=[host.file("a")], units={"x.service": ["active"]}, answers=["http://127.0.0.1:9/"])
    loaded = set(host.ask(more="print(*sys.modules, file=sys.stderr)\n")[1].split())
    assert {"json", "socket"} <= loaded
    assert not loaded & {"subprocess", "ssl", "http.client", "urllib", "typing", "dataclasses", "logging", "hashlib"}
    assert "encodings.idna" not in loaded


@pytest.mark.parametrize("path", imports.closure([SOURCES / "look/look.py"], SOURCES), ids=lambda path: path.stem)
def test_the_sources_import_the_standard_library_and_each_other(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert all(alias.name in STANDARD for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module in STANDARD or node.module.startswith("ansible.module_utils.")
            assert node.module != "ansible.module_utils.basic"
