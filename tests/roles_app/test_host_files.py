"""host_files: directories, files and secrets as they should be, and what should be absent gone."""

import json
import os
import stat
from types import SimpleNamespace

import pytest

from .conftest import load

MODULE = load("modules", "host_files")


def desired(tmp_path, **changes):
    """The module's parameters: a directory, a file and a secret in it, and two files to be absent."""
    folder = tmp_path / "etc"
    params = {
        "directories": [{"path": str(folder), "mode": "0750"}],
        "files": [{"path": str(folder / "a.conf"), "mode": "0644", "content": "a = 1\n"}],
        "secrets": [{"path": str(folder / "key"), "mode": "0600", "content": "hush"}],
        "absent": [str(tmp_path / "old.conf"), str(tmp_path / "older.conf")],
    }
    return params | changes


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_everything_is_made_and_the_second_run_changes_nothing(tmp_path):
    params = desired(tmp_path)
    (tmp_path / "old.conf").write_text("x")
    os.symlink("nowhere", tmp_path / "older.conf")
    paths, differences = MODULE.work(params, False)
    folder = tmp_path / "etc"
    assert paths == [str(path) for path in (folder, folder / "key", folder / "a.conf")] + params["absent"]
    assert (folder / "a.conf").read_text() == "a = 1\n" and (folder / "key").read_text() == "hush\n"
    assert (mode(folder), mode(folder / "a.conf"), mode(folder / "key")) == (0o750, 0o644, 0o600)
    assert not any(os.path.lexists(path) for path in params["absent"])
    assert "hush" not in json.dumps(differences) and [one["after"] for one in differences] == ["a = 1\n", "", ""]
    assert MODULE.work(params, False) == ([], [])


def test_check_mode_tells_the_same_and_touches_nothing(tmp_path):
    params = desired(tmp_path)
    (tmp_path / "old.conf").write_text("x")
    paths, differences = MODULE.work(params, True)
    assert len(paths) == 4 and len(differences) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["old.conf"]


@pytest.mark.parametrize("what", ["directories", "files", "secrets"])
def test_another_mode_is_mended(tmp_path, what):
    params = desired(tmp_path, absent=[])
    MODULE.work(params, False)
    (entry,) = params[what]
    os.chmod(entry["path"], 0o777)
    assert MODULE.work(params, True)[0] == [entry["path"]] and mode(entry["path"]) == 0o777
    assert MODULE.work(params, False)[0] == [entry["path"]] and mode(entry["path"]) == int(entry["mode"], 8)


@pytest.mark.parametrize("what", ["files", "secrets"])
def test_other_content_is_replaced(tmp_path, what):
    params = desired(tmp_path)
    MODULE.work(params, False)
    (entry,) = params[what]
    with open(entry["path"], "w") as file:
        file.write("older\n")
    paths, differences = MODULE.work(params, False)
    assert paths == [entry["path"]] and [one["before"] for one in differences] == ["older\n"] * (what == "files")
    assert MODULE.work(params, False) == ([], [])


def test_a_file_in_the_place_of_a_directory_is_reported(tmp_path, call_module):
    (tmp_path / "etc").write_text("x")
    reported = call_module(desired(tmp_path))
    assert f"{tmp_path}/etc cannot be written" in reported["msg"] and "Fix: " in reported["msg"]


def test_a_secret_of_two_lines_is_refused_by_its_path_alone(tmp_path, call_module):
    secrets = [{"path": str(tmp_path / "key"), "mode": "0600", "content": "hush\nhush"}]
    reported = call_module(desired(tmp_path, secrets=secrets))
    assert (
        "more than one line" in reported["msg"]
        and str(tmp_path / "key") in reported["msg"]
        and "hush" not in reported["msg"]
    )


@pytest.fixture
def call_module(monkeypatch):
    """call_module(parameters): what the module reports, success or failure."""

    def run(params, check_mode=False):
        reported = []

        def end(**words):
            reported.append(words)
            raise SystemExit

        def module(argument_spec, supports_check_mode):
            assert supports_check_mode and argument_spec["secrets"]["options"]["content"]["no_log"]
            return SimpleNamespace(params=params, check_mode=check_mode, fail_json=end, exit_json=end)

        monkeypatch.setattr(MODULE, "AnsibleModule", module)
        with pytest.raises(SystemExit):
            MODULE.main()
        return reported[0]

    return run


def test_the_result_names_what_changed(tmp_path, call_module):
    assert call_module(desired(tmp_path), check_mode=True)["changed"] and not (tmp_path / "etc").exists()
    reported = call_module(desired(tmp_path))
    assert reported["changed"] and reported["paths"] and reported["diff"]
    assert not call_module(desired(tmp_path))["changed"]


KEYED = 'server_url = ["https://b:8443"]\nkey = "${LICENCE}"\n'


def keyed(tmp_path, key="hush-1", **changes):
    files = [{"path": str(tmp_path / "etc" / "api.toml"), "mode": "0600", "content": KEYED}]
    return desired(tmp_path, files=files, secrets=[], absent=[], fill={"LICENCE": key}, **changes)


def test_a_secret_inside_a_file_is_filled_in_on_the_server_and_shown_nowhere(tmp_path):
    path = tmp_path / "etc" / "api.toml"
    paths, differences = MODULE.work(keyed(tmp_path), False)
    assert path.read_text() == KEYED.replace("${LICENCE}", "hush-1") and mode(path) == 0o600 and str(path) in paths
    assert "hush" not in json.dumps(differences) and "server_url" in json.dumps(differences)
    assert MODULE.work(keyed(tmp_path), False) == ([], [])
    paths, differences = MODULE.work(keyed(tmp_path, "hush-2"), False)
    assert paths == [str(path)] and "hush-2" in path.read_text()
    assert "hush" not in json.dumps(differences)  # neither the new one nor the old one


def test_a_file_that_held_a_secret_is_not_shown_when_it_becomes_public(tmp_path):
    MODULE.work(keyed(tmp_path), False)
    path = tmp_path / "etc" / "api.toml"
    public = desired(tmp_path, files=[{"path": str(path), "mode": "0644", "content": "a = 1\n"}], secrets=[], absent=[])
    paths, differences = MODULE.work(public, False)
    assert paths == [str(path)] and path.read_text() == "a = 1\n" and "hush" not in json.dumps(differences)


def test_another_owner_reads_his_secret(tmp_path, monkeypatch):
    owned = []
    monkeypatch.setattr(MODULE.os, "fchown", lambda _handle, *who: owned.append(who))
    monkeypatch.setattr(MODULE.os, "chown", lambda _path, *who: owned.append(who))
    params = desired(tmp_path, absent=[])
    params["secrets"][0]["owner"] = params["directories"][0]["owner"] = 1000
    paths, _ = MODULE.work(params, False)
    assert (1000, 1000) in owned and str(tmp_path / "etc" / "key") in paths
    again, _ = MODULE.work(params, True)  # it still belongs to whom runs this: it is to be mended
    assert again == [str(tmp_path / "etc"), str(tmp_path / "etc" / "key")]
