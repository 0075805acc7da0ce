"""daemon.json: merged, validated, never overwritten."""

import importlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

OURS = {"log-opts": {"max-size": "100m"}, "features": {"cdi": True}, "live-restore": True}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=12,
)
OBJECT = st.dictionaries(st.text("abc", max_size=2), JSON, max_size=4)


def merge(below, above):
    return importlib.import_module("daemon_json").merge(below, above)


@pytest.fixture
def settle(call, program, tmp_path):
    """settle(text, **arguments): (result, text of the file afterwards); dockerd accepts all but the key `bad`."""
    program(
        "dockerd",
        "case $2 in --config-file=*) ! grep -q '\"bad\"' \"${2#*=}\" || { echo 'unknown: bad' >&2; exit 1; } ;; esac\n",
    )
    program("systemctl", "exit 3\n")
    path = tmp_path / "docker/daemon.json"

    def run(text=None, **arguments):
        if text is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        result = call("daemon_json", path=str(path), **{"settings": OURS, **arguments})
        return result, path.read_text() if path.exists() else None

    return run


def test_new_file_then_no_change(settle):
    first, text = settle()
    assert first["changed"] and json.loads(text) == OURS
    second, same = settle()
    assert not second["changed"] and same == text


def test_its_mode_is_put_back(settle, tmp_path):
    settle()
    path = tmp_path / "docker/daemon.json"
    path.chmod(0o601)
    assert settle(check=True)[0]["changed"] and path.stat().st_mode & 0o777 == 0o601
    assert settle()[0]["changed"] and path.stat().st_mode & 0o777 == 0o644
    assert not settle()[0]["changed"]


def test_says_what_the_file_holds_and_whether_the_daemon_ran(settle, program):
    first, _ = settle()
    assert first["settings"] == OURS and first["running"] is False
    program("systemctl", "echo ActiveState=active\n")
    assert settle()[0]["running"] is True


def test_keys_of_the_user_stay(settle):
    theirs = {"data-root": "/data", "features": {"containerd-snapshotter": True}, "log-opts": {"labels": "a"}}
    result, text = settle(json.dumps(theirs))
    after = json.loads(text)
    assert after["data-root"] == "/data" and after["features"] == {"containerd-snapshotter": True, "cdi": True}
    assert after["log-opts"] == {"labels": "a", "max-size": "100m"}
    with open(result["backup_file"]) as backup:
        assert json.load(backup) == theirs
    assert "data-root" in result["diff"]["before"]


def test_only_somebody_else_s_file_is_kept_and_only_as_it_was_at_first(settle, tmp_path):
    settle()
    assert "backup_file" not in settle(settings={**OURS, "live-restore": False})[0], "our own file"
    first, _ = settle(json.dumps({"data-root": "/data"}))
    assert first["backup_file"].endswith("daemon.json.before-dgctl")
    assert "backup_file" not in settle(settings={**OURS, "log-level": "warn"})[0]
    assert sorted(path.name for path in (tmp_path / "docker").iterdir()) == ["daemon.json", "daemon.json.before-dgctl"]
    assert json.loads((tmp_path / "docker/daemon.json.before-dgctl").read_text()) == {"data-root": "/data"}


@pytest.mark.parametrize("broken", ['{"a": 1,}', "{", "[]", "hosts", '{"a": "b"} x'])
def test_malformed_file_is_left_alone(settle, broken):
    result, text = settle(broken)
    assert result["failed"] and "nothing was written" in result["fix"] and text == broken


def test_settings_that_docker_refuses_are_not_written(settle):
    result, text = settle('{"debug": false}', settings={"bad": 1})
    assert result["failed"] and "unknown: bad" in result["msg"] and text == '{"debug": false}'
    assert "/.daemon.json." not in result["msg"]


def test_check_mode_shows_and_writes_nothing(settle, tmp_path):
    result, text = settle(check=True)
    assert result["changed"] and text is None and '"cdi": true' in result["diff"]["after"]
    assert not (tmp_path / "docker").exists()


STARTED = "ExecMainStartTimestampMonotonic"  # microseconds since the boot
LONG_AGO, FAR_AHEAD = {STARTED: 1}, {STARTED: 10**15}
GOOD = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", **FAR_AHEAD}


@pytest.fixture
def daemon(settle, program, tmp_path):
    """daemon(check=False, **state): (result, what systemd was asked to do) for a daemon in that state."""
    log = tmp_path / "systemctl.log"

    def run(check=False, **state):
        lines = "\\n".join(f"{key}={value}" for key, value in {**GOOD, **state}.items())
        program("systemctl", f'[ "$1" = show ] && printf "{lines}\\n" || echo "$*" >> {log}\n')
        log.write_text("")
        return settle(run=True, check=check)[0], log.read_text().splitlines()

    return run


def test_daemon_that_runs_with_the_file_is_left_alone(settle, daemon):
    settle()
    assert daemon() == ({**daemon()[0], "changed": False}, [])


def test_daemon_that_started_before_the_file_is_reloaded_and_restarted(settle, daemon):
    settle()
    done = ["reload docker.service", "restart docker.service"]
    result, asked = daemon(**LONG_AGO)
    assert result["changed"] and asked == done
    result, asked = daemon(check=True, **LONG_AGO)
    assert result["changed"] and asked == []


def test_daemon_that_is_down_is_forgiven_started_and_enabled(settle, daemon):
    settle()
    _, asked = daemon(ActiveState="failed", UnitFileState="disabled")
    assert asked == [f"{verb} docker.service" for verb in ("reset-failed", "start", "enable")]


def test_check_mode_before_docker_is_installed(daemon):
    assert daemon(check=True, LoadState="not-found", ActiveState="inactive")[0]["changed"]


def test_daemon_that_does_not_start_says_why(settle, program):
    program("systemctl", '[ "$1" = show ] && echo ActiveState=inactive || { echo "Job failed" >&2; exit 1; }\n')
    program("journalctl", "echo unable to configure\n")
    result, _ = settle(run=True)
    assert result["failed"] and "start docker.service: Job failed" in result["msg"]
    assert "unable to configure" in result["msg"] and "journalctl -u docker.service" in result["fix"]


@given(OBJECT, OBJECT)
def test_merging_twice_is_merging_once(below, above):
    once = merge(below, above)
    assert merge(once, above) == once


@given(OBJECT, OBJECT)
def test_ours_win_and_theirs_stay(below, above):
    merged = merge(below, above)
    assert set(merged) == set(below) | set(above)
    assert all(merged[key] == below[key] for key in set(below) - set(above))
    assert all(merged[key] == value for key, value in above.items() if not isinstance(value, dict))
