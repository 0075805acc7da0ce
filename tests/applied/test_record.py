"""Records that must not be believed are not, each for its own reason; and no run leaves one that lies."""

import json
import os
import stat
import time

import pytest
from ansible.module_utils.host import record as host_record


def edit(recorded, changes, resign=True):
    """Changes a record, with a sum that fits unless told otherwise."""
    record = {**json.loads(recorded.path.read_text()), **changes}
    if resign:
        record["sum"] = host_record.checksum(record)
    recorded.path.write_text(json.dumps(record))


def distrusted(host):
    reported = host.role()
    assert reported["state"] == "distrusted"
    return reported["why"]


@pytest.fixture
def recorded(host):
    host.record(files=[host.file("a")])
    assert host.role()["state"] == "right"
    return host


def test_a_role_without_a_record_is_new(host):
    assert host.role() == {"state": "new", "why": "", "drift": [], "things": {}}


def test_a_record_is_for_root_alone(recorded):
    assert stat.S_IMODE(os.stat(recorded.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(recorded.path.parent).st_mode) == 0o700
    assert [path.name for path in recorded.path.parent.iterdir()] == ["role.json"]


def test_a_record_holds_what_the_contract_says(recorded):
    record = json.loads(recorded.path.read_text())
    assert set(record) == {"format", "role", "host", "machine_id", "at", "finished", "desired", "things", "sum"}
    assert (record["role"], record["finished"], record["format"]) == ("role", True, 1)


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_truncated(recorded, cut):
    recorded.path.write_text(recorded.path.read_text()[:cut])
    assert distrusted(recorded) == "its record is no valid JSON: it was cut off or overwritten"


@pytest.mark.parametrize("text", ["[]", "null", "7", '{"format": "1"}', "{}", "[" * 100000])
def test_something_else_in_its_place(recorded, text):
    recorded.path.write_text(text)
    assert "cut off or overwritten" in distrusted(recorded)


def test_no_text_in_its_place(recorded):
    recorded.path.write_bytes(b"\xff\xfe\x00")
    assert "cut off or overwritten" in distrusted(recorded)


def test_a_directory_in_its_place(recorded):
    recorded.path.unlink()
    recorded.path.mkdir()
    assert distrusted(recorded) == "its record cannot be read: Is a directory"


@pytest.mark.parametrize("change", [{"things": {}}, {"finished": False}, {"host": "gpu2"}, {"more": 1}, {"sum": None}])
def test_edited_by_hand(recorded, change):
    edit(recorded, change, resign=False)
    assert distrusted(recorded) == "its record was changed after it was written: the sum in it does not fit"


def test_no_character_can_be_changed(recorded):
    text = recorded.path.read_text()
    for place, character in enumerate(text):
        recorded.path.write_text(text[:place] + chr(ord(character) ^ 1) + text[place + 1 :])
        record, why = host_record.read("role", "gpu1")
        assert record is None and why, (place, text[place - 20 : place + 20])


def test_of_a_newer_format(recorded):
    edit(recorded, {"format": 2})
    assert distrusted(recorded) == "its record has format 2, of a newer dgctl than this, which knows 1"


def test_of_another_host(recorded):
    edit(recorded, {"host": "gpu2"})
    assert distrusted(recorded) == "its record is of host gpu2"


@pytest.mark.parametrize("machine_id", ["fedcba9876543210\n", "", None])
def test_of_another_installation(recorded, machine_id):
    path = recorded.root / "machine-id"
    path.unlink()
    if machine_id is not None:
        path.write_text(machine_id)
    assert distrusted(recorded).startswith("its record is of another installation: the server was re-imaged")


def test_an_installation_without_a_number_is_never_the_same(host):
    (host.root / "machine-id").write_text("")
    host.record()
    assert distrusted(host).startswith("its record is of another installation")


def test_dated_in_the_future(recorded):
    edit(recorded, {"at": int(time.time()) + 290})
    assert recorded.role()["state"] == "right"
    edit(recorded, {"at": int(time.time()) + 310})
    assert distrusted(recorded).endswith("in the future: the clock was moved")


def test_run_without_dgctl(host):
    host.record(desired={}, files=[host.file("a")])
    reported = host.role()
    assert (reported["state"], reported["why"]) == ("distrusted", "the role was last run without dgctl")
    assert reported["things"] == {"files": 1}


def test_begun_and_not_ended(recorded):
    recorded.module(state="begun", host="gpu1", begin=["role", "other"])
    reported = recorded.ask(role="f1", other="f2", third="f3")[0]["roles"]
    assert {role: entry["state"] for role, entry in reported.items()} == {
        "role": "unfinished",
        "other": "unfinished",
        "third": "new",
    }
    assert reported["role"]["why"] == "a run ended before this role was done"
    assert (reported["role"]["things"], reported["role"]["drift"]) == ({"files": 1}, [])


def test_a_role_that_ends_is_right_again(recorded):
    recorded.module(state="begun", host="gpu1", begin=["role"])
    recorded.record()
    assert recorded.role()["state"] == "right"


def test_begun_without_dgctl_marks_all(recorded):
    recorded.record(role="other")
    recorded.ask("verified")
    recorded.module(state="begun", host="gpu1")
    assert {path.name for path in recorded.path.parent.iterdir()} == {"role.json", "other.json"}
    reported = recorded.ask(role="f1", other="f1")[0]["roles"]
    assert [entry["state"] for entry in reported.values()] == ["unfinished", "unfinished"]


def test_begun_over_the_look_s_connection_is_the_same(recorded):
    recorded.ask("verified")
    assert recorded.ask("begun", role="", other="")[0] == {"format": 1, "begun": True}
    reported = recorded.ask(role="f1", other="f2", third="f3")[0]
    assert [entry["state"] for entry in reported["roles"].values()] == ["unfinished", "unfinished", "new"]
    assert reported["roles"]["role"]["things"] == {"files": 1} and reported["verified"] is False
    recorded.record()
    assert recorded.role()["state"] == "right"


def test_begun_does_not_sign_what_somebody_edited(recorded):
    edit(recorded, {"desired": {"fingerprint": "forged"}}, resign=False)
    recorded.module(state="begun", host="gpu1", begin=["role"])
    record = json.loads(recorded.path.read_text())
    assert (record["desired"], record["things"], record["finished"]) == ({}, {}, False)


def test_check_mode_writes_nothing(host):
    assert host.module(check=True, role="role", host="gpu1", files=["/etc/hostname"])["changed"] is False
    assert host.module(check=True, state="begun", host="gpu1", begin=["role"])["changed"] is False
    assert not host.path.parent.exists()


def test_a_folder_that_cannot_be_written(host):
    (host.root / "state").write_text("in the way")
    result = host.module(role="role", host="gpu1")
    assert result["failed"] and result["msg"].startswith("The record of what was applied cannot be written: ")
    assert "Fix: see that " in result["msg"]


def test_an_unknown_state_of_a_unit_is_refused(host):
    result = host.module(role="role", host="gpu1", units={"x.service": ["running"]})
    assert "running is no state" in result["msg"] and "Fix: use one of active" in result["msg"]
    assert not host.path.exists()


def test_words_that_stand_in_variables_are_not_hidden_from_the_result(host):
    desired = {"fingerprint": "f1", "content": "c", "variables": {"a": "False", "b": "a", "c": 443, "d": "false"}}
    result = host.module(role="role", host="gpu1", desired=json.dumps(desired))
    assert result["changed"] is False
    assert "443" not in json.dumps(result)
