"""What a role may not leave on record: what is not as it declared, and foreign content that it found and left."""

import json
import os

import pytest
from ansible.module_utils.look import recording

from .test_containers import container
from .test_packages import NGINX


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(recording, "SETTLES_S", 0.5)


@pytest.fixture
def file(host):
    """A file on record, at whose role a run begins."""
    path = host.file("a", "meant")
    host.record(files=[path])
    return path


def begin(host, over_the_look=False):
    if over_the_look:
        host.ask("begun", role="")
    else:
        host.module(state="begun", host="gpu1", begin=["role"])


def refused(result, *words):
    assert result.get("failed"), result
    assert all(word in result["msg"] for word in words), result["msg"]
    assert " Fix: " in result["msg"]


@pytest.mark.parametrize("over_the_look", [False, True])
def test_foreign_content_that_the_role_left_is_not_recorded(host, file, over_the_look):
    host.file("a", "foreign")
    begin(host, over_the_look)
    refused(host.ended(files=[file]), f"file {file} content differs", f"mv {file} {file}.foreign")
    assert host.role()["state"] == "unfinished"


def test_content_that_the_role_put_back_is_recorded(host, file):
    host.file("a", "foreign")
    begin(host)
    host.file("a", "meant")
    assert not host.ended(files=[file]).get("failed")
    assert host.role()["state"] == "right"


def test_content_that_the_role_wrote_is_recorded(host, file):
    """As a certificate that was due: another than before, and not what a hand wrote."""
    host.file("a", "foreign")
    begin(host)
    host.file("a", "new")
    assert not host.ended(files=[file]).get("failed")


def test_content_that_differs_because_something_else_is_meant_is_recorded(host, file):
    host.file("a", "foreign")
    begin(host)
    assert not host.ended(desired={"fingerprint": "f2", "content": "c", "variables": {}}, files=[file]).get("failed")


def test_a_shared_file_is_as_its_role_left_it(host, file):
    host.file("a", "with a line of its owner's")
    begin(host)
    assert not host.ended(files=[file], shared=[file]).get("failed")


def test_a_foreign_mode_is_not_recorded_though_the_content_is_back(host, file):
    host.file("a", "foreign", 0o601)
    begin(host)
    host.file("a", "meant", 0o601)
    refused(host.ended(files=[file]), "mode 0601 instead of 0644", f"Fix: on the server: chmod 0644 {file}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_foreign_owner_is_not_recorded(host, file):
    os.chown(file, 12, 34)
    begin(host)
    refused(host.ended(files=[file]), "owner 12:34 instead of 0:0", f"chown 0:0 {file}")


def test_a_foreign_link_is_not_recorded(host):
    path = host.root / "etc" / "link"
    path.symlink_to("/one")
    host.record(files=[str(path)])
    path.unlink()
    path.symlink_to("/two")
    begin(host)
    refused(host.ended(files=[str(path)]), "points to /two instead of /one")


def test_a_large_file_s_mode_and_size_are_not_recorded_and_its_time_is_no_content(host):
    path = host.file("model.dg", "weights")
    host.record(large_files=[path])
    host.file("model.dg", "weights", 0o601)
    begin(host)
    refused(host.ended(large_files=[path]), "mode 0601 instead of 0644")
    host.file("model.dg", "other weights")
    begin(host)
    refused(host.ended(large_files=[path]), "size 13 instead of 7")
    host.file("model.dg", "weights")
    begin(host)
    assert not host.ended(large_files=[path]).get("failed")


def test_a_run_that_was_killed_and_ran_again_is_no_excuse(host, file):
    host.file("a", "foreign")
    begin(host)
    begin(host)
    refused(host.ended(files=[file]), "content differs")


def test_what_is_not_there_or_must_not_be(host):
    path = host.file("foreign")
    missing = str(host.root / "etc" / "gone")
    refused(host.ended(files=[missing]), f"file {missing} is missing")
    refused(host.ended(absent=[path]), f"file {path} is there, and must not be", f"rm {path}")


def test_packages(host):
    (host.root / "status").write_text(NGINX)
    assert not host.ended(packages=["nginx"]).get("failed")
    refused(host.ended(packages=["nginx", "later"]), "package later is not installed")
    refused(host.ended(packages=["nginx"], held=["nginx"]), "package nginx is not held", "apt-mark hold nginx")
    (host.root / "status").write_text(NGINX.replace("ok installed", "ok half-configured"))
    refused(host.ended(packages=["nginx"]), "package nginx is half-configured")


@pytest.mark.parametrize(
    ("active", "enabled", "declared"),
    [("failed", "enabled", "active"), ("active", "disabled", "enabled"), ("active", "enabled", "masked")],
)
def test_units(host, active, enabled, declared):
    host.unit("x.service", active, enabled)
    refused(host.ended(units={"x.service": [declared]}), f"instead of {declared}", "journalctl -u x.service")


def test_a_unit_that_settles_in_time(host):
    host.program(
        "systemctl",
        f"cat {host.root}/systemd/x.service; printf 'MainPID=0\\nActiveState=active\\nUnitFileState=enabled\\n' "
        f"> {host.root}/systemd/x.service\n",
    )
    host.unit("x.service", "activating", "enabled")
    assert not host.ended(units={"x.service": ["active"]}).get("failed")


@pytest.mark.parametrize(("state", "words"), [("exited", "is exited instead of running"), (None, "is not there")])
def test_containers(host, docker, state, words):
    if state:
        docker["/containers/deepgram-api/json"] = (200, json.dumps(container(state=state)))
    reported = host.ended(containers={"engine": "docker", "names": {"deepgram-api": []}})
    refused(reported, f"container deepgram-api {words}", "docker logs")
