"""What systemd says of units, read once for all modules (systemctl of systemd 252), and what is said where it refuses."""

import os
import time
from types import SimpleNamespace

import pytest
from ansible.module_utils.host import systemd, units

TWO = (
    "Id=a.service\nActiveState=active\nExecStart={ path=/a ; argv[]=/a --b=c }\n\nId=b.service\nActiveState=inactive\n"
)


def test_units_are_read_by_block_by_their_order_and_by_their_id():
    first, second = units.blocks(TWO)
    assert first["ExecStart"] == "{ path=/a ; argv[]=/a --b=c }" and second["ActiveState"] == "inactive"
    assert units.by_unit(TWO, ["alias.service", "b.service"])["alias.service"] == first
    assert units.by_unit(TWO, ["a.service"]) == {}, "systemd answered for others than were asked for"
    assert set(units.by_id(TWO)) == {"a.service", "b.service"} and units.by_id("") == {}


def test_one_unit_is_asked_for_its_properties(program):
    program("systemctl", 'echo "ActiveState=$*"; echo UnitFileState=')
    seen = systemd.properties("-x.service", "ActiveState", "UnitFileState")
    assert seen == {"ActiveState": "show --property=ActiveState,UnitFileState -- -x.service", "UnitFileState": ""}
    program("systemctl", "echo 'System has not been booted with systemd' >&2; exit 1\n")
    assert systemd.properties("x.service", "ActiveState") == {}


def test_what_systemd_refuses_is_said_with_the_unit_s_own_words(program):
    reported = {}
    module = SimpleNamespace(fail_json=reported.update)
    program("systemctl", "echo 'Job failed.' >&2; exit 1\n")
    program("journalctl", "echo; echo bind failed; echo '  Failed to start X.'\n")
    systemd.systemctl(module, "x.service", "see there", "start", "x.service")
    assert reported["msg"] == "systemctl start x.service: Job failed. | bind failed | Failed to start X. Fix: see there"


def test_a_restart_forgives_failures_and_ends_with_the_first_step_that_is_refused(program, tmp_path):
    log = tmp_path / "log"
    program("systemctl", f'echo "$1" >>{log}; test "$1" != reset-failed && test "$1" != enable\n')
    with pytest.raises(AttributeError, match="fail_json"):
        systemd.restart(SimpleNamespace(), "x.service", "")
    assert log.read_text().split() == ["daemon-reload", "reset-failed", "enable"]


def test_a_process_is_older_than_what_was_written_since(tmp_path):
    path = tmp_path / "file"
    path.touch()
    own = {"MainPID": str(os.getpid())}
    assert units.is_older(own, [str(path)]) and not units.is_older({"MainPID": "0"}, [str(path)])
    os.utime(path, (1, 1))
    assert not units.is_older(own, [str(path)])


def test_when_a_unit_s_program_was_started():
    assert units.last_start({}) is None and units.last_start({"ExecMainStartTimestampMonotonic": "0"}) is None
    now = units.last_start({"ExecMainStartTimestampMonotonic": str(int(time.monotonic() * 1e6))})
    assert abs(now - time.time()) < 1
