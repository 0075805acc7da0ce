"""deepgram_snapshot: what is kept, what is restored, and that it may be killed anywhere."""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
from types import SimpleNamespace

import pytest
from ansible.module_utils.testing import patch_module_args

from .conftest import MODULE

OLD, NEW, NEWEST = "release-1", "release-2", "release-3"


def upgraded(server):
    """OLD was verified, then NEW with another model and one file more."""
    server.become(OLD, ["a.dg", "b.dg"])
    server.call("kept")
    server.become(NEW, ["a.dg", "c.dg"], extra=["etc/more"])
    (server.root / "models/b.dg").unlink()
    server.call("kept")


def refused(server, text, **more):
    with pytest.raises(MODULE.Unusable) as error:
        server.call("restored", **more)
    assert text in str(error.value) and error.value.fix


def test_kept_once_and_then_unchanged(server):
    server.become(OLD)
    assert server.call("kept", check_mode=True) == {"changed": True, "release": OLD}
    assert not (server.root / "verified").exists()
    assert server.call("kept")["changed"] and not server.call("kept")["changed"]
    assert server.retained() == {"current": OLD, "previous": None}
    assert all(path.stat().st_mode & 0o077 == 0 for path in (server.root / "verified").glob("current/files/**/*.env"))
    assert (server.root / "verified").stat().st_mode & 0o777 == 0o700


def test_what_was_never_done_is_not_kept(server):
    with pytest.raises(MODULE.Unusable):
        server.call("kept")
    server.become(OLD, finished=False)
    with pytest.raises(MODULE.Unusable):
        server.call("kept")


def test_only_what_was_verified_is_kept_and_only_untouched(server):
    server.become(OLD)
    nothing = {"changed": False, "release": ""}
    assert server.call("kept", if_verified=True) == nothing
    fingerprints = dict.fromkeys(("deepgram", "deepgram_models"), f"f-{OLD}")
    MODULE.snapshot_state.host_record.write("verified", "gpu1", fingerprints=fingerprints)
    server.write("etc/compose.yaml", "changed by hand")
    assert server.call("kept", if_verified=True) == nothing
    server.write("etc/compose.yaml", OLD)
    assert server.call("kept", if_verified=True) == {"changed": True, "release": OLD}


def test_a_rewritten_record_is_no_other_state(server):
    upgraded(server)
    server.become(NEW, ["a.dg", "c.dg"], extra=["etc/more"])
    os.utime(server.path("state/deepgram.json"))
    record = (server.root / "state/deepgram.json").read_text()
    (server.root / "state/deepgram.json").write_text(record.replace('"host"', ' "host"'))
    assert not server.call("kept")["changed"]
    assert server.retained() == {"current": NEW, "previous": OLD}
    assert ' "host"' in MODULE.load("current")["records"]["deepgram"]


def test_back_to_the_release_before_and_right_for_its_variables(server):
    upgraded(server)
    (server.root / "state/verified.json").write_text("{}")
    result = server.call("restored")
    assert (result["changed"], result["release"], result["from_release"]) == (True, OLD, NEW)
    assert server.look() == [] and not (server.root / "state/verified.json").exists()
    assert not (server.root / "etc/more").exists() and (server.root / "models/b.dg").read_text() == "model b.dg"
    assert (server.root / "models/c.dg").exists()  # as long as a container may run that has loaded it
    assert server.call("settled")["changed"] and not (server.root / "models/c.dg").exists()
    assert not server.call("settled")["changed"]
    assert result["service"]["engine"] == "docker" and result["service"]["urls"] == {
        "engine": "http://127.0.0.1:9991/metrics"
    }
    engine = {
        "names": {"engine": "engine"},
        "metrics_url": "http://127.0.0.1:9991",
        "api_url": "",
        "max_active_requests": "20",
    }
    assert result["health"]["waits"][0] == engine and result["health"]["gpu_required"] is True
    assert result["health"]["models_dir"] == server.path("models")
    assert result["service"]["files"] == {"engine": [server.path("etc/deepgram.env")]}
    assert server.call("kept")["changed"] and server.retained() == {"current": OLD, "previous": NEW}
    assert server.call("restored")["release"] == NEW and server.look() == []


def test_check_mode_changes_nothing(server):
    upgraded(server)
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in server.root.rglob("*") if path != server.images)
    result = server.call("restored", check_mode=True)
    assert result["changed"] and server.path("etc/compose.yaml") in result["files"]
    server.call("kept", check_mode=True)
    server.call("settled", check_mode=True)
    assert before == sorted(
        (str(path), path.lstat().st_mtime_ns) for path in server.root.rglob("*") if path != server.images
    )


def test_an_upgrade_that_stopped_half_way_goes_back_to_what_was_verified(server):
    upgraded(server)
    server.become(NEW, ["a.dg", "c.dg"], extra=["etc/more"], finished=False)  # begun, and nothing written yet
    assert server.call("report")["would_restore"] == "current"
    server.become(NEWEST, ["a.dg", "d.dg"], finished=False)
    result = server.call("restored")
    assert (result["slot"], result["release"], result["from_release"]) == ("current", NEW, NEWEST)
    assert server.look() == []


def test_going_back_brings_no_old_key_back_and_unchanged_files_keep_their_time(server):
    server.become(OLD, secret="one")
    server.call("kept")
    server.become(NEW, secret="two")
    server.call("kept")
    before = os.stat(server.path("models/a.dg")).st_mtime_ns
    server.call("restored")
    assert (server.root / "etc/deepgram.env").read_text() == "KEY=two\n", "a key that was rotated away stays away"
    assert (server.root / "etc/deepgram.env").stat().st_mode & 0o777 == 0o600
    assert os.stat(server.path("models/a.dg")).st_mtime_ns == before
    assert server.look() == [], "the record that was put back says what is there"
    assert server.call("kept")["changed"] and server.retained() == {"current": OLD, "previous": NEW}


def test_no_copy_of_a_key_is_kept(server):
    server.become(OLD, secret="one-secret-key")
    server.call("kept")
    server.become(NEW, secret="two-secret-key")
    server.call("kept")
    texts = [path.read_text(errors="replace") for path in (server.root / "verified").rglob("*") if path.is_file()]
    assert len(texts) > 4 and not any("secret-key" in text for text in texts)


def test_a_state_of_an_earlier_version_is_usable_and_loses_its_copy_of_the_key(server):
    """It counted the key's file in its digest, and had a copy of it."""
    server.become(OLD, secret="one")
    server.call("kept")
    state = MODULE.snapshot_state
    manifest = server.root / "verified/current/manifest.json"
    retained = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**retained, "digest": state.digest(retained, True)}))
    copy = state.copy_of("current", server.path("etc/deepgram.env"))
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    with open(copy, "w") as stream:
        stream.write("KEY=one\n")
    server.become(NEW, secret="two")
    server.call("kept")
    assert server.retained() == {"current": NEW, "previous": OLD}
    assert not os.path.exists(state.copy_of("previous", server.path("etc/deepgram.env")))
    assert server.call("restored")["release"] == OLD and (server.root / "etc/deepgram.env").read_text() == "KEY=two\n"


def test_without_any_key_there_is_no_going_back(server):
    upgraded(server)
    os.unlink(server.path("etc/deepgram.env"))
    refused(server, "deepgram.env is gone, and of secrets no copy is kept")


def test_what_was_asked_for_is_restored(server):
    upgraded(server)
    assert server.call("restored", to="current")["files"] == []
    assert server.call("restored", to="previous")["release"] == OLD


def test_nothing_to_go_back_to(server):
    refused(server, "nothing to go back to")
    server.become(OLD)
    server.call("kept")
    refused(server, "no earlier state")
    report = server.call("report")
    assert report["would_restore"] == "" and report["equals"] == "current" and report["previous"] is None


def test_a_report(server):
    upgraded(server)
    report = server.call("report")
    assert (
        report["current"]["release"] == NEW
        and report["previous"]["release"] == OLD
        and report["would_restore"] == "previous"
    )
    assert (
        report["real"]["finished"]
        and report["real"]["digest"] == report["current"]["digest"]
        and not report["restoring"]
    )
    assert report["previous"]["images"] == {"deepgram-engine": f"registry.test/engine@sha256:{'1' * 64}"}
    server.call("restored")
    assert server.call("report")["restoring"]


def test_images_of_both_states_are_tagged_and_later_ones_take_their_place(server):
    upgraded(server)
    tags = {name for name in server.names() if ":kept-" in name}
    assert tags == {f"registry.test/engine:kept-{digit * 12}" for digit in "12"}
    server.become(NEWEST)
    server.call("kept")
    assert {name for name in server.names() if ":kept-" in name} == {
        f"registry.test/engine:kept-{digit * 12}" for digit in "23"
    }


def test_an_image_that_a_container_still_runs_from_stays(server):
    upgraded(server)
    server.in_use = {f"registry.test/engine:kept-{'1' * 12}"}
    server.become(NEWEST)
    assert server.call("kept")["changed"]
    assert {name for name in server.names() if ":kept-" in name} == {
        f"registry.test/engine:kept-{digit * 12}" for digit in "123"
    }


def test_an_image_that_is_gone_is_told_before_anything_is_touched(server):
    upgraded(server)
    server.images.write_text("")
    refused(server, "the image registry.test/engine@sha256:111")
    assert server.call("report")["equals"] == "current" and not server.call("report")["restoring"]


def test_an_image_from_an_archive_is_taken_from_where_that_lies(server, monkeypatch):
    upgraded(server)
    server.images.write_text("")
    asked = []
    monkeypatch.setattr(MODULE.snapshot_images, "fetch", lambda *words: asked.append(words))
    server.call("restored", archive="/srv/images/archive.tar")
    assert [words[3] for words in asked] == ["/srv/images/archive.tar"]


def test_of_several_archives_that_with_the_image_is_served(monkeypatch):
    images, digest = MODULE.snapshot_images, f"sha256:{'1' * 64}"
    archives = {
        "/gone.tar": None,
        "/other.tar": SimpleNamespace(manifests={f"sha256:{'2' * 64}": "x"}),
        "/it.tar": SimpleNamespace(manifests={digest: "x"}),
    }
    served = []
    monkeypatch.setattr(images.archive, "there", archives.get)
    monkeypatch.setattr(images.archive, "places", lambda given: list(archives)[: -1 if given == "without" else None])
    monkeypatch.setattr(images.loopback, "served", lambda one: served.append(one) or contextlib.nullcontext())
    monkeypatch.setattr(images, "run", lambda argv, timeout: argv)
    name = f"{images.loopback.local('registry.test/engine')}@{digest}"
    assert images.fetch("docker", name, 5) == ["docker", "pull", "--quiet", name] and served == [archives["/it.tar"]]
    with pytest.raises(MODULE.CommandFailed, match=r"no archive of images has it \(/gone.tar, /other.tar\)"):
        images.fetch("docker", name, 5, "without")


@pytest.mark.parametrize(
    ("local", "fix"),
    [(False, "let this server reach the registry"), (True, f"dgctl images load INVENTORY FILE --release {OLD}")],
)
def test_an_image_that_cannot_be_had_is_told_with_its_own_way_back(server, monkeypatch, local, fix):
    upgraded(server)
    server.images.write_text("")
    monkeypatch.setattr(MODULE.snapshot_images.loopback, "is_local", lambda name: local)
    with pytest.raises(MODULE.Unusable) as error:
        server.call("restored", archive="/srv/images/archive.tar")
    assert fix in error.value.fix and ("/srv/images/archive.tar" in str(error.value)) == local


def test_models_are_second_names_and_go_with_the_last_state_that_has_them(server):
    upgraded(server)
    retained = {path.name.split(".dg")[0] for path in (server.root / "verified/models").iterdir()}
    assert retained == {"a", "b", "c"}
    assert os.stat(server.path("models/a.dg")).st_nlink == 2
    server.become(NEWEST, ["a.dg"])
    server.call("kept")
    assert {path.name.split(".dg")[0] for path in (server.root / "verified/models").iterdir()} == {"a", "c"}


def test_a_model_that_was_overwritten_is_told_before_anything_is_touched(server):
    upgraded(server)
    (link,) = (server.root / "verified/models").glob("b.dg*")
    link.write_text("something else")
    refused(server, "models/b.dg was overwritten")
    assert server.call("report")["equals"] == "current"


def test_a_model_that_was_only_touched_gets_its_time_back(server):
    sums = json.dumps({"a.dg": {"sha256": hashlib.sha256(b"model a.dg").hexdigest()}})
    for release in (OLD, NEW):
        server.become(release)
        server.write("models/.sha256.json", sums)
        server.record(release, ["etc/images.json", "etc/compose.yaml"], ["a.dg"])
        server.call("kept")
    os.utime(server.path("models/a.dg"), ns=(1, 1))
    assert server.path("models/a.dg") in server.call("restored", to="previous", check_mode=True)["files"]
    assert os.stat(server.path("models/a.dg")).st_mtime_ns == 1
    server.call("restored", to="previous")
    assert server.look() == []


def test_a_model_that_was_copied_back_is_kept_as_the_file_that_it_is_now(server):
    server.become(OLD)
    server.call("kept")
    model, copy = server.root / "models/a.dg", server.root / "copy"
    shutil.copy2(model, copy)
    copy.replace(model)
    server.write("etc/compose.yaml", "another")  # so that the state is another one
    server.record(OLD, ["etc/images.json", "etc/compose.yaml"], ["a.dg"])
    server.call("kept")
    (link,) = (server.root / "verified/models").iterdir()
    assert link.samefile(model), "the old file would stay on the disk beside the new one"


def test_a_kept_file_that_was_changed_is_told_before_anything_is_touched(server):
    upgraded(server)
    (server.root / "verified/previous/files" / server.path("etc/compose.yaml").lstrip("/")).write_text("x")
    refused(server, "kept copy")
    assert server.call("report")["equals"] == "current"


def test_models_on_another_file_system_are_kept_beside_themselves(server, monkeypatch):
    real = os.link

    def link(source, target, **more):
        if "/verified/" in str(target):
            raise OSError(18, "Invalid cross-device link")
        return real(source, target, **more)

    monkeypatch.setattr(os, "link", link)
    upgraded(server)
    names = sorted(path.name for path in (server.root / "models/.verified").iterdir())
    assert len(names) == 3 and all(name.endswith(".kept") for name in names)
    server.call("restored")
    assert server.look() == []


def steps():
    return itertools.count()


@pytest.mark.controller_only
def test_keeping_may_be_killed_anywhere(make):
    for step in steps():
        server = make()
        upgraded(server)
        server.become(NEWEST, ["a.dg", "d.dg"])
        done = server.call_killed(step, "kept")
        MODULE.hold_place().close()
        assert server.retained() in ({"current": NEW, "previous": OLD}, {"current": NEWEST, "previous": NEW}), step
        server.call("kept")
        assert server.retained() == {"current": NEWEST, "previous": NEW}, step
        assert sorted(os.listdir(server.root / "verified")) == [".lock", "current", "models", "previous"]
        assert server.call("restored")["release"] == NEW and server.look() == [], step
        if done:
            break
    assert step > 20


@pytest.mark.controller_only
def test_keeping_the_first_and_keeping_the_same_may_be_killed_anywhere(make):
    for step in steps():
        server = make()
        server.become(OLD)
        first = server.call_killed(step, "kept")
        server.call("kept")
        assert server.retained() == {"current": OLD, "previous": None}, step
        server.record(NEW, ["etc/compose.yaml"], ["a.dg"])  # other files of the record, other wishes
        server.become(OLD)
        again = server.call_killed(step, "kept")
        server.call("kept")
        assert server.retained() == {"current": OLD, "previous": None}, step
        if first and again:
            break


@pytest.mark.controller_only
def test_restoring_may_be_killed_anywhere(make):
    for step in steps():
        server = make()
        upgraded(server)
        done = server.call_killed(step, "restored")
        result = server.call("restored")
        assert result["release"] == OLD, step
        assert server.look() == [], step
        assert server.call_killed(step, "settled") or server.call_killed(99, "settled")
        assert not (server.root / "models/c.dg").exists() and not server.call("report")["restoring"]
        if done:
            break
    assert step > 10


def test_restoring_that_goes_on_is_not_turned_round(server):
    upgraded(server)
    server.call("restored")
    again = server.call("restored")
    assert (again["release"], again["from_release"], again["files"]) == (OLD, NEW, [])
    server.call("settled")
    assert server.call("restored")["release"] == NEW


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("state", ["kept", "report"])
def test_check_mode_and_a_report_make_nothing_on_the_server(server, capsys, tmp_path, state, check):
    server.become(OLD)
    arguments = {"state": state, "_ansible_check_mode": check, "_ansible_remote_tmp": str(tmp_path)}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        MODULE.main()
    assert not json.loads(capsys.readouterr().out).get("failed")
    assert (server.root / "verified").exists() == (state == "kept" and not check)


def test_a_directory_that_got_other_rights_gets_its_own_back(server):
    upgraded(server)
    folder = server.root / "etc/engine"
    mode = folder.stat().st_mode
    folder.chmod(0o700)
    assert server.path("etc/engine") in server.call("restored", to="current")["files"]
    assert folder.stat().st_mode == mode and server.look() == []


def test_a_link_that_leads_elsewhere_leads_back_and_counts_as_a_change(tmp_path):
    state = MODULE.snapshot_state
    link = tmp_path / "link"
    link.symlink_to("/usr/one")
    was = state.host_files.look_at(str(link))
    link.unlink()
    link.symlink_to("/usr/other")
    assert state.put(str(link), was, "", True) and os.readlink(link) == "/usr/other"
    assert state.put(str(link), was, "", False) and os.readlink(link) == "/usr/one"
    assert not state.put(str(link), was, "", False)
