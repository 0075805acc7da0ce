"""deepgram_images: what is pulled, what a release stays pinned to, and what a refusal says."""

import base64
import json
import subprocess
from types import SimpleNamespace

import pytest

from tests.roles_app.conftest import load, results
from tests.roles_app.engine.fake_engine import FakeEngine

MODULE = load("modules", "deepgram_images")
REPOSITORY = "registry.test/deepgram/self-hosted-engine"
ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.fixture
def engine(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    fake = FakeEngine(tmp_path / "bin", monkeypatch)
    fake.offer(REPOSITORY, "release-1", ONE)
    monkeypatch.setattr(MODULE.time, "sleep", lambda seconds: None)
    return fake


@pytest.fixture
def run(engine, tmp_path):
    def go(check_mode=False, **changes):
        params = {
            "engine": "docker",
            "registry": "registry.test/deepgram",
            "release": "release-1",
            "digests": {},
            "pins": {},
            "images": {"engine": "self-hosted-engine"},
            "record": str(tmp_path / "etc" / "images.json"),
            "auth_dir": str(tmp_path / "etc" / "auth"),
            "username": "",
            "password": "",
            "timeout_s": 20,
            "archive": str(tmp_path / "archive.tar"),
        }
        return MODULE.work({**params, **changes}, check_mode)

    return go


@pytest.mark.parametrize("program", ["docker", "podman"])
def test_pulls_by_tag_runs_by_digest_and_asks_no_registry_again(run, engine, program):
    result = run(engine=program)
    assert result["images"]["engine"]["reference"] == f"{REPOSITORY}@{ONE}" and result["changed"]
    assert engine.pulls() == [f"{REPOSITORY}:release-1"] and engine.calls[0][0] == program
    again = run(engine=program)
    assert not again["changed"] and again["images"] == result["images"] and len(engine.pulls()) == 1


def test_moved_tag_does_not_change_a_host(run, engine, tmp_path):
    run()
    engine.offer(REPOSITORY, "release-1", TWO)
    engine.set(images={})
    engine.offer(REPOSITORY, "other", ONE)
    result = run()
    assert result["images"]["engine"]["digest"] == ONE and engine.pulls()[-1] == f"{REPOSITORY}@{ONE}"


def test_a_server_gets_what_the_others_got_whatever_it_had_itself(run, engine, tmp_path):
    tag, other = f"{REPOSITORY}:release-1", f"{REPOSITORY}:release-0"
    assert run()["pins"] == {tag: ONE}
    engine.offer(REPOSITORY, "as-others-have-it", TWO)
    result = run(pins={tag: TWO, other: ONE})
    assert result["changed"] and result["pins"] == {tag: TWO} and engine.pulls()[-1] == f"{REPOSITORY}@{TWO}"
    record = json.loads((tmp_path / "etc" / "images.json").read_text())
    assert record["pins"] == {tag: TWO} and record["containers"]["deepgram-engine"]["digest"] == TWO
    assert not run(pins={tag: TWO})["changed"]
    assert run(pins={tag: TWO}, digests={"engine": ONE})["pins"] == {}, "what the inventory pins is no release's"
    assert run(check_mode=True)["pins"] == {}


def test_way_back_to_an_earlier_release_is_its_pin(run, engine, tmp_path):
    engine.offer(REPOSITORY, "release-2", TWO)
    run()
    assert run(release="release-2")["images"]["engine"]["digest"] == TWO
    assert run()["images"]["engine"]["digest"] == ONE
    record = json.loads((tmp_path / "etc" / "images.json").read_text())
    assert record["release"] == "release-1" and record["containers"]["deepgram-engine"]["digest"] == ONE
    assert record["pins"] == {f"{REPOSITORY}:release-1": ONE, f"{REPOSITORY}:release-2": TWO}


def test_digest_of_the_user_wins_and_does_not_become_the_pin(run, engine, tmp_path):
    engine.offer(REPOSITORY, "x", TWO)
    assert run(digests={"engine": TWO})["images"]["engine"]["reference"] == f"{REPOSITORY}@{TWO}"
    assert json.loads((tmp_path / "etc" / "images.json").read_text())["pins"] == {}
    assert run()["images"]["engine"]["digest"] == ONE


def test_check_mode_pulls_and_writes_nothing(run, engine, tmp_path):
    result = run(check_mode=True)
    assert result["changed"] and result["pulled"] == [f"{REPOSITORY}:release-1"]
    assert result["images"]["engine"]["reference"] == f"{REPOSITORY}:release-1"
    assert engine.pulls() == [] and not (tmp_path / "etc" / "images.json").exists()


def test_credentials_are_kept_for_root_alone_while_there_are_any(run, engine, tmp_path):
    folder = tmp_path / "etc" / "auth"
    assert run(username="robot", password="secret", check_mode=True)["changed"] and not folder.exists()
    run(username="robot", password="secret")
    pull = next(call for call in engine.calls if "pull" in call)
    assert pull[:4] == ["docker", "--config", str(folder), "pull"]
    file = folder / "config.json"
    entry = json.loads(file.read_text())["auths"]["registry.test"]["auth"]
    assert base64.b64decode(entry) == b"robot:secret"
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert not run(username="robot", password="secret")["changed"]
    assert run()["changed"] and not file.exists()


def test_images_are_pulled_together_and_the_first_failure_is_told(run, engine):
    names = {"engine": "self-hosted-engine", "api": "self-hosted-api"}
    with pytest.raises(MODULE.PullFailed, match="self-hosted-api:release-1"):
        run(images=names)
    engine.offer("registry.test/deepgram/self-hosted-api", "release-1", TWO)
    assert run(images=names)["images"]["api"]["digest"] == TWO


@pytest.mark.parametrize(
    "reported, fix, attempts",
    [
        ("unauthorized: authentication required", "deepgram_registry_username", 1),
        ("manifest unknown", "deepgram_release", 1),
        ("x509: certificate signed by unknown authority", "trust store", 1),
        ("write: no space left on device", "free space", 1),
        ("dial tcp: lookup registry.test: no such host", "reaches the registry", 3),
    ],
)
def test_refusals_name_the_cure(run, engine, reported, fix, attempts):
    engine.set(registry={f"{REPOSITORY}:release-1": {"error": reported}})
    with pytest.raises(MODULE.PullFailed) as failure:
        run()
    assert fix in failure.value.fix and reported in str(failure.value) and len(engine.pulls()) == attempts


@pytest.fixture
def begin(run, monkeypatch):
    """begin(...): run(...) with ahead, and what systemd was asked to do."""
    asked, real = [], MODULE.run

    def note(argv, **more):
        return asked.append(argv) if argv[0] == "systemd-run" else real(argv, **more)

    def go(**changes):
        with monkeypatch.context() as patch:
            patch.setattr(MODULE, "work", MODULE.begin)
            patch.setattr(MODULE, "run", note)
            return run(**changes), asked

    return go


def test_pulling_ahead_begins_and_waits_for_nothing(begin, tmp_path):
    result, asked = begin(username="robot", password="secret")
    (words,) = asked
    assert result == {"changed": True, "pulled": []}
    assert f"docker --config {tmp_path}/etc/auth pull --quiet {REPOSITORY}:release-1" in words[-1]
    assert not (tmp_path / "etc" / "images.json").exists() and "secret" not in str(words)


def test_pulling_ahead_waits_for_an_engine_that_is_still_to_come(begin, monkeypatch, tmp_path):
    _, ((*_, script),) = begin()
    docker, asked, there = tmp_path / "path/docker", tmp_path / "asked", tmp_path / "there"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\necho $* >> {asked}\ntest -e {there} || {{ touch {there}; exit 1; }}\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker.parent), prepend=":")
    subprocess.run(["sh", "-c", script], check=True, timeout=30)
    assert asked.read_text().splitlines() == ["version", "version", f"pull --quiet {REPOSITORY}:release-1"]


def test_nothing_is_pulled_ahead_that_is_here_or_in_check_mode(run, begin):
    run()
    assert begin() == ({"changed": False, "pulled": []}, [])
    assert begin(release="release-2", check_mode=True) == ({"changed": False, "pulled": []}, [])


def test_pulling_for_later_pins_nothing_and_pulls_once(run, engine, monkeypatch, tmp_path):
    monkeypatch.setattr(MODULE, "work", MODULE.only_pull)
    assert run(check_mode=True)["changed"] and engine.pulls() == []
    assert run() == {"changed": True, "pulled": [f"{REPOSITORY}:release-1"], "moved": []}
    assert not (tmp_path / "etc" / "images.json").exists() and not run()["changed"]
    engine.set(registry={f"{REPOSITORY}:release-2": {"error": "unauthorized"}})
    with pytest.raises(MODULE.PullFailed):
        run(release="release-2")


@pytest.mark.parametrize("number", ["401", "403"])
def test_a_digest_or_a_time_is_no_refusal(number):
    """What passes by itself is tried again, whichever digits stand in it."""
    reported = f'time="2026-03-19T14:30:00.{number}140Z" copying sha256:ab{number}ef: read tcp 10.0.0.1:4{number}: reset by peer'
    failure = MODULE.PullFailed("registry.test/x@sha256:1", reported)
    assert failure.passing and "reaches the registry" in failure.fix
    refused = MODULE.PullFailed("registry.test/x", f"unexpected status from HEAD request: {number}")
    assert not refused.passing and "deepgram_registry_username" in refused.fix


def test_podman_is_given_the_account_in_its_own_way(run, engine, tmp_path):
    run(engine="podman", username="robot", password="secret")
    pull = next(call for call in engine.calls if "pull" in call)
    assert pull == [
        *("podman", "pull", "--quiet", "--authfile", str(tmp_path / "etc/auth/config.json"), f"{REPOSITORY}:release-1")
    ]


def test_a_pull_that_leads_to_no_digest_is_a_failure(run, engine):
    name = f"{REPOSITORY}:release-1"
    engine.set(registry={name: {"image": {"RepoDigests": []}, "names": [name]}})
    with pytest.raises(MODULE.PullFailed, match="the registry gave no digest for it"):
        run()


def test_a_digest_of_another_repository_is_not_ours(run, engine):
    name = f"{REPOSITORY}:release-1"
    digests = [f"other.test/engine@{TWO}", f"{REPOSITORY}@{ONE}"]
    engine.set(registry={name: {"image": {"RepoDigests": digests}, "names": [name]}})
    assert run()["images"]["engine"]["digest"] == ONE


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_torn_record_is_rewritten(run, engine, tmp_path, text):
    run()
    (tmp_path / "etc/images.json").write_text(text)
    assert run()["changed"] and not run()["changed"]


def test_folders_that_others_could_read_are_closed(run, tmp_path):
    run()
    (tmp_path / "etc/auth").chmod(0o755)
    assert run(check_mode=True)["changed"] and (tmp_path / "etc/auth").stat().st_mode & 0o777 == 0o755
    assert run()["changed"] and (tmp_path / "etc/auth").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("way", "flags"), [("work", {}), ("begin", {"ahead": True}), ("only_pull", {"only_pull": True})]
)
def test_what_is_asked_for_is_what_is_done(engine, monkeypatch, tmp_path, way, flags):
    reported = results(monkeypatch, MODULE, {"ahead": False, "only_pull": False} | flags)
    for name in ("work", "begin", "only_pull"):
        monkeypatch.setattr(MODULE, name, lambda given, check, name=name: {"way": name})
    with pytest.raises(SystemExit):
        MODULE.main()
    monkeypatch.setattr(MODULE, way, lambda *_: (_ for _ in ()).throw(MODULE.PullFailed("r:1", "unauthorized")))
    with pytest.raises(SystemExit):
        MODULE.main()
    assert (
        reported[0] == {"way": way} and "the image r:1 could not be pulled: unauthorized. Fix: " in reported[1]["msg"]
    )


def test_where_all_comes_from_the_registry_no_port_is_opened(monkeypatch):
    monkeypatch.setattr(MODULE.loopback, "served", lambda archive: pytest.fail("the archive is served"))
    pulled = []
    MODULE.pull_all(
        SimpleNamespace(archive=None, timeout=5, pull=pulled.append), ["quay.io/one@sha256:1", "quay.io/two@sha256:2"]
    )
    assert sorted(pulled) == ["quay.io/one@sha256:1", "quay.io/two@sha256:2"]
