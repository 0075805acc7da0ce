"""Files, directories, links, absences and large files: each change of one is found."""

import os
import time

import pytest


def shifted(path, seconds):
    os.utime(path, (time.time() + seconds, time.time() + seconds))


@pytest.fixture
def path(host):
    path = host.file("a")
    host.record(files=[path])
    assert host.drift() == []
    return path


def test_content(host, path):
    host.file("a", "changed")
    assert host.drift() == [f"file {path}: content differs"]


def test_the_same_content_written_again_is_right(host, path):
    host.file("a")
    shifted(path, 50)
    assert host.drift() == []


def test_mode(host, path):
    os.chmod(path, 0o4600)
    assert host.drift() == [f"file {path}: mode 4600 instead of 0644"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner(host, path):
    os.chown(path, 12, 34)
    assert host.drift() == [f"file {path}: owner 12:34 instead of {os.geteuid()}:{os.getegid()}"]


def test_missing(host, path):
    os.unlink(path)
    assert host.drift() == [f"file {path}: missing"]


def test_missing_with_its_directory(host, path):
    os.rename(os.path.dirname(path), host.root / "away")
    (host.root / "etc").write_text("a file in its place")
    assert host.drift() == [f"file {path}: missing"]


def test_another_type(host, path):
    os.unlink(path)
    os.symlink("/etc/hostname", path)
    assert host.drift() == [f"file {path}: is a link"]
    os.unlink(path)
    os.mkfifo(path)  # and reading it would never end
    assert host.drift() == [f"file {path}: is a special file"]


def test_what_was_not_there_when_the_role_ended_is_never_right(host):
    path = str(host.root / "etc" / "later")
    host.record(files=[path])
    assert host.drift() == [f"file {path}: missing"]
    host.file("later")
    assert host.drift() == [f"file {path}: was missing when the role ended"]


def test_directory(host):
    path = host.root / "etc" / "folder"
    path.mkdir(mode=0o755)
    host.record(files=[str(path)])
    (path / "inside").write_text("no matter")
    assert host.drift() == []
    path.chmod(0o700)
    assert host.drift() == [f"directory {path}: mode 0700 instead of 0755"]


def test_link(host):
    path = host.root / "etc" / "link"
    path.symlink_to("/one")
    host.record(files=[str(path)])
    assert host.drift() == []
    path.unlink()
    path.symlink_to("/two")
    assert host.drift() == [f"link {path}: points to /two instead of /one"]


def test_absent(host):
    path = host.root / "etc" / "gone"
    host.record(absent=[str(path)])
    assert host.drift() == []
    path.symlink_to("/nowhere")
    assert host.drift() == [f"file {path}: is there, and must not be"]


def test_large_file(host):
    path = host.file("model.dg", "weights")
    host.record(large_files=[path])
    assert host.drift() == []
    shifted(path, -50)
    assert host.drift() == [f"file {path}: was written again"]
    host.file("model.dg", "other weights")
    assert host.drift() == [f"file {path}: size 13 instead of 7, was written again"]
    os.unlink(path)
    assert host.drift() == [f"file {path}: missing"]


def test_large_file_s_rights(host):
    path = host.file("model.dg", "weights")
    host.record(large_files=[path])
    os.chmod(path, 0o600)
    assert host.drift() == [f"file {path}: mode 0600 instead of 0644"]
