"""model_files against a real HTTP server: what arrives, what is fetched again, and what is said."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from ansible.module_utils.deepgram import download, models

from tests.roles_app.conftest import ROOT, load
from tests.roles_app.deepgram.file_server import start

MODULE = load("modules", "model_files")
NAME = "nova-3-general.en.batch.a12b345.dg"
DATA = os.urandom(3 << 20)
SUM = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(models.time, "sleep", lambda seconds: None)
    served, base, stop = start()
    served.files[f"/m/{NAME}"] = DATA
    served.base = base
    yield served
    stop()


@pytest.fixture
def run(server, tmp_path):
    """run(**changes to the parameters) -> the module's result"""

    def go(check_mode=False, links=None, **changes):
        links = links or [{"url": f"{server.base}/m/{NAME}", "sha256": ""}]
        params = {
            "links": links,
            "pins": {},
            "dir": str(tmp_path),
            "prune": False,
            "retries": 2,
            "timeout_s": 5,
            "parallel": 4,
        }
        monkey = {**params, **changes}
        original = models.Models.__init__.__defaults__
        models.Models.__init__.__defaults__ = (lambda seconds: None,)
        try:
            return MODULE.work(monkey, check_mode)
        finally:
            models.Models.__init__.__defaults__ = original

    return go


def test_modes_are_put_back(run, tmp_path):
    run()
    assert not run()["changed"]
    for path, mode in ((tmp_path, 0o755), (tmp_path / NAME, 0o644), (tmp_path / models.RECORD, 0o644)):
        path.chmod(0o711)
        assert run(check_mode=True)["changed"] and path.stat().st_mode & 0o777 == 0o711
        assert run()["changed"] and path.stat().st_mode & 0o777 == mode
    assert not run()["changed"]


def left_over(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.name not in (NAME, models.RECORD))


def test_downloads_records_and_is_quiet_the_second_time(run, server, tmp_path):
    result = run()
    assert result["changed"] and result["downloaded_bytes"] == len(DATA)
    assert result["files"] == [
        {"name": NAME, "state": "downloaded", "size": len(DATA), "sha256": SUM, "downloaded": len(DATA)}
    ]
    assert (tmp_path / NAME).read_bytes() == DATA
    assert json.loads((tmp_path / models.RECORD).read_text())[NAME]["sha256"] == SUM
    assert left_over(tmp_path) == []
    asked = len(server.requests)
    again = run()
    assert not again["changed"] and again["downloaded_bytes"] == 0 and len(server.requests) == asked


def test_second_run_does_not_read_the_files(run, monkeypatch):
    run()
    monkeypatch.setattr(models, "sha256_of", lambda *args: pytest.fail("hashed a file that had not changed"))
    run()


def test_resumes_after_the_connection_broke(run, server, tmp_path):
    server.cut = [1 << 20, 1 << 20]
    result = run()
    assert result["files"][0]["sha256"] == SUM and (tmp_path / NAME).read_bytes() == DATA
    assert [sent for _, _, sent in server.body_requests()] == [1 << 20] * 3


def test_continues_what_an_earlier_run_left(run, server, tmp_path):
    server.cut = [1 << 20] + [0] * 5
    with pytest.raises(download.DownloadError, match="could not be downloaded in 3 attempts"):
        run()
    assert (tmp_path / f"{NAME}.partial").stat().st_size == 1 << 20
    server.cut = []
    result = run()
    assert result["downloaded_bytes"] == 2 << 20 and result["files"][0]["sha256"] == SUM


def test_starts_over_when_the_file_changed_in_between(run, server, tmp_path):
    server.cut = [1 << 20] + [0] * 5
    with pytest.raises(download.DownloadError):
        run()
    new = os.urandom(2 << 20)
    server.files[f"/m/{NAME}"], server.version, server.cut = new, "v2", []
    run()
    assert (tmp_path / NAME).read_bytes() == new


def test_server_without_validators_starts_over_and_gives_up(run, server):
    server.validators = False
    server.cut = [1 << 20] * 9
    with pytest.raises(download.DownloadError, match="the connection ended after 1048576 of 3145728 bytes"):
        run()
    assert len(server.body_requests()) < 9


def test_wrong_checksum_leaves_nothing(run, server, tmp_path):
    links = [{"url": f"{server.base}/m/{NAME}?sig=secret", "sha256": "0" * 64}]
    with pytest.raises(download.DownloadError) as error:
        run(links=links)
    place = f"{NAME} from {server.base.partition('//')[2]}/m/{NAME}"
    assert str(error.value) == f"{place} has the wrong checksum: SHA-256 is {SUM}, expected {'0' * 64}"
    assert "secret" not in f"{error.value} {error.value.fix}" and "sha256" in error.value.fix
    assert left_over(tmp_path) == [] and not (tmp_path / NAME).exists()


def test_bad_part_of_an_earlier_run_is_not_the_end(run, server, tmp_path):
    (tmp_path / f"{NAME}.partial").write_bytes(b"x" * 100)
    (tmp_path / f"{NAME}.partial.json").write_text(json.dumps({"total": len(DATA), "validator": '"v1"'}))
    result = run(links=[{"url": f"{server.base}/m/{NAME}", "sha256": SUM}])
    assert result["files"][0]["sha256"] == SUM


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:]])
def test_damaged_file_is_fetched_again(run, tmp_path, damage):
    run()
    (tmp_path / NAME).write_bytes(damage(DATA))
    os.utime(tmp_path / NAME, (1, 1))
    result = run()
    assert result["changed"] and (tmp_path / NAME).read_bytes() == DATA


def test_touched_file_is_only_hashed_again(run, server, tmp_path):
    run()
    os.utime(tmp_path / NAME, (1, 1))
    result = run()
    assert result["files"][0]["state"] == "adopted" and result["downloaded_bytes"] == 0
    assert not run()["changed"]


def test_other_content_than_at_the_first_download_is_refused(run, server, tmp_path):
    run()
    (tmp_path / NAME).unlink()
    server.files[f"/m/{NAME}"], server.version = b"other", "v2"
    with pytest.raises(download.DownloadError, match="as at its first download"):
        run()
    other = hashlib.sha256(b"other").hexdigest()
    assert run(links=[{"url": f"{server.base}/m/{NAME}", "sha256": other}])["files"][0]["sha256"] == other


def test_other_content_than_other_servers_have_is_refused(run, server, tmp_path):
    links = [{"url": f"{server.base}/m/{NAME}?sig=secret", "sha256": ""}]
    with pytest.raises(
        download.DownloadError, match=f"SHA-256 is {SUM}, expected {'0' * 64} as other servers"
    ) as error:
        run(links=links, pins={NAME: "0" * 64})
    assert NAME in str(error.value) and "secret" not in str(error.value) and "sha256 in deepgram" in error.value.fix
    assert left_over(tmp_path) == [] and not (tmp_path / NAME).exists()
    assert run(links=links, pins={NAME: SUM, "another.dg": "0" * 64})["pins"] == {NAME: SUM}
    assert run(links=[{**links[0], "sha256": SUM}], pins={NAME: "0" * 64})["pins"] == {}, (
        "the inventory's own comes first"
    )


def test_a_file_that_other_servers_have_otherwise_stays_until_theirs_is_here(run, server, tmp_path):
    run()
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(download.DownloadError, match="as other servers have it"):
        run(pins={NAME: other})
    assert (tmp_path / NAME).read_bytes() == DATA and left_over(tmp_path) == []
    server.files[f"/m/{NAME}"], server.version = b"other", "v2"
    assert run(check_mode=True, pins={NAME: other})["pins"] == {}
    assert run(pins={NAME: other})["files"][0]["state"] == "downloaded"
    assert (tmp_path / NAME).read_bytes() == b"other"


def test_file_put_there_by_hand_is_adopted_only_as_other_servers_have_it(run, server, tmp_path):
    (tmp_path / NAME).write_bytes(b"x" * len(DATA))
    assert run(pins={NAME: SUM})["files"][0]["state"] == "downloaded"
    (tmp_path / models.RECORD).unlink()
    asked = len(server.requests)
    assert run(pins={NAME: SUM})["files"][0]["state"] == "adopted" and len(server.requests) == asked


def test_file_put_there_by_hand_is_adopted_only_if_whole(run, server, tmp_path):
    (tmp_path / NAME).write_bytes(DATA[:100])
    assert run()["files"][0]["state"] == "downloaded"
    (tmp_path / models.RECORD).unlink()
    assert run()["files"][0]["state"] == "adopted"


def test_full_disk_is_said_before_the_first_byte(run, server, monkeypatch, tmp_path):
    real = os.statvfs(tmp_path)
    few = type("Few", (), {"f_bavail": 10, "f_frsize": real.f_frsize})
    monkeypatch.setattr(models.os, "statvfs", lambda path: few)
    with pytest.raises(download.DownloadError, match=r"the models still need 0\.00 GB") as error:
        run()
    assert "free space" in error.value.fix and server.body_requests() == [] and left_over(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_disk_that_fills_up_on_the_way(run, tmp_path, monkeypatch):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], capture_output=True).returncode:
        pytest.skip("this machine allows no mount")
    try:
        monkeypatch.setattr(models.Models, "free", lambda self: 1 << 40)
        with pytest.raises(download.DownloadError, match=r"the disk filled up") as error:
            run(dir=str(small))
        assert "free space" in error.value.fix
        assert not list(small.glob("*.dg*"))
    finally:
        subprocess.run(["umount", small], check=True)


def test_refused_link_is_not_tried_again_and_hides_its_signature(run, server):
    server.codes = [403] * 9
    with pytest.raises(download.DownloadError, match=r"answers HTTP 403") as error:
        run(links=[{"url": f"{server.base}/m/{NAME}?X-Amz-Signature=secret", "sha256": ""}])
    assert len(server.codes) == 8 and "secret" not in f"{error.value}{error.value.fix}"


def test_overloaded_server_is_tried_again(run, server):
    server.codes = [503, 429]
    assert run()["files"][0]["sha256"] == SUM


def test_silent_server_is_given_up(run, server):
    server.stall, server.cut = 3, [1000] * 9
    with pytest.raises(download.DownloadError, match="nothing arrived for 1 s"):
        run(timeout_s=1, retries=1)


def test_unreachable_server(run):
    with pytest.raises(download.DownloadError, match=r"127.0.0.1:9/a.dg could not be downloaded in 3 attempts"):
        run(links=[{"url": "http://127.0.0.1:9/a.dg", "sha256": ""}])


def test_one_bad_link_does_not_stop_the_others(run, server, tmp_path):
    server.files["/m/bad.dg"] = b"bad"
    links = [
        {"url": f"{server.base}/m/bad.dg", "sha256": "1" * 64},
        {"url": f"{server.base}/m/{NAME}", "sha256": ""},
    ]
    with pytest.raises(download.DownloadError, match=r"bad.dg"):
        run(links=links)
    assert (tmp_path / NAME).read_bytes() == DATA


def test_check_mode_says_and_does_nothing(run, server, tmp_path):
    (tmp_path / "old.dg").write_bytes(b"old")
    result = run(check_mode=True, prune=True)
    assert result["changed"] and result["files"][0] == {
        "name": NAME,
        "state": "missing",
        "size": len(DATA),
        "sha256": None,
        "downloaded": 0,
    }
    assert result["removed"] == ["old.dg"] and [path.name for path in tmp_path.iterdir()] == ["old.dg"]
    assert server.body_requests() == []
    assert run(check_mode=True, dir=str(tmp_path / "not" / "there"))["changed"]


def test_prunes_only_when_asked(run, tmp_path):
    for name in ("old.dg", "old.dg.partial", "old.dg.partial.json", "notes.txt"):
        (tmp_path / name).write_bytes(b"old")
    assert run()["removed"] == [] and (tmp_path / "old.dg").exists()
    assert run(prune=True)["removed"] == ["old.dg", "old.dg.partial", "old.dg.partial.json"]
    assert left_over(tmp_path) == ["notes.txt"]
    with pytest.raises(download.DownloadError, match=r"would remove every model"):
        MODULE.work({"links": [], "pins": {}, "prune": True, "dir": str(tmp_path)}, False)


@pytest.mark.parametrize(
    "url", ["ftp://h/a.dg", "https://h/a.txt", "https://h/", "https://h/.dg", "https://h/x%2Fa.dg", "a.dg"]
)
def test_link_that_names_no_model(url):
    with pytest.raises(download.DownloadError):
        models.desired_files([{"url": url, "sha256": ""}], {})


def test_two_links_to_one_name_and_a_sum_that_is_none():
    with pytest.raises(download.DownloadError, match=r"2 model links lead to a file called a.dg"):
        models.desired_files([{"url": "https://h/1/a.dg", "sha256": ""}, {"url": "https://h/2/a.dg", "sha256": ""}], {})
    with pytest.raises(download.DownloadError, match=r"not a SHA-256 sum: abc"):
        models.desired_files([{"url": "https://h/a.dg", "sha256": "abc"}], {})


def test_shown_link_has_neither_query_nor_password():
    assert download.shown("https://user:pw@h.test:8443/a/b.dg?sig=x#y") == "h.test:8443/a/b.dg"


def test_second_process_waits_for_the_lock(tmp_path):
    held = models.lock(str(tmp_path))
    with pytest.raises(download.DownloadError, match=r"another process"):
        models.lock(str(tmp_path), wait=0)
    held.close()
    models.lock(str(tmp_path), wait=0).close()


@pytest.mark.controller_only
def test_200_mb_cost_less_than_50_mb_of_memory(server, tmp_path):
    server.files["/m/big.dg"] = bytes(200 << 20)
    code = (
        "import sys, resource; sys.path.insert(0, sys.argv[1]); from deepgram import download as d\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "d.fetch(sys.argv[2], sys.argv[3], 30, 0); d.sha256_of(sys.argv[3])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    argv = [
        sys.executable,
        "-c",
        code,
        str(ROOT / "plugins/module_utils"),
        f"{server.base}/m/big.dg",
        str(tmp_path / "big"),
    ]
    added = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert added < 50 << 10, f"{added} KiB"


def failing(*progress):
    """An action that fails as often, with so many bytes arrived in all at each failure, and works then."""
    left = [*progress]

    def action():
        if not left:
            return "done"
        action.progress = left.pop(0)
        raise download._Transient("torn")

    action.progress = 0
    return action


@pytest.mark.parametrize(
    ("progress", "waited"),
    [((0, 0), [1, 2]), ((0, 5, 5, 9), [1, 1, 2, 1]), ((3, 6, 9, 12), [1, 1, 1, 1])],
)
def test_attempts_that_bring_bytes_do_not_count(progress, waited):
    slept = []
    assert download.with_retries(failing(*progress), "https://x.example.com/a.dg", 2, slept.append) == "done"
    assert slept == waited


def test_attempts_that_bring_none_end():
    slept = []
    with pytest.raises(download.DownloadError, match="in 3 attempts: torn"):
        download.with_retries(failing(5, 5, 5, 5), "https://x.example.com/a.dg", 2, slept.append)
    assert slept == [1, 2]
