"""deepgram_images with an archive: taken from there by digest, no registry asked, a wrong image still refused.

What the engines answer was seen of Docker 20.10.24 and 26.1.5 (classic store), Docker 26.1.5 (containerd store) and Podman 4.3.1,
which pulled such an archive from the registry on loopback, 2026-11-30: RepoDigests has 127.0.0.1:9812/REPOSITORY@DIGEST, with the
digest that was asked for; Podman lists that of the index and that of the manifest.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from dgctl import content
from tests import utilities
from tests.paths import PROJECT
from tests.ports import free_port
from tests.roles_app.conftest import load
from tests.roles_app.engine.fake_engine import FakeEngine

from .conftest import PASSWORD, RELEASE, USER, Registry
from .test_archive import rewritten

utilities.use()
MODULE: Any = load("modules", "deepgram_images")
NETWORK: Any = content.utility("preflight.network")
SNAPSHOT: Any = content.utility("snapshot.images")
IMAGE = "self-hosted-engine"
OTHER = f"sha256:{'9' * 64}"


@pytest.fixture
def name(registry: Registry) -> str:
    return registry.name(IMAGE)


@pytest.fixture
def digest(saved: Path, registry: Registry) -> str:
    return registry.tags[f"{IMAGE}:{RELEASE}"]


@pytest.fixture
def local(name: str) -> str:
    return MODULE.loopback.local(name)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: str, digest: str) -> FakeEngine:
    """Reaches no registry but that on loopback."""
    (tmp_path / "bin").mkdir()
    fake = FakeEngine(tmp_path / "bin", monkeypatch)
    fake.offer(local, "x", digest)
    monkeypatch.setattr(MODULE.time, "sleep", lambda seconds: None)
    served, port = MODULE.loopback.served, free_port()
    monkeypatch.setattr(MODULE.loopback, "served", lambda archive: served(archive, port=port))
    return fake


@pytest.fixture
def params(engine: FakeEngine, saved: Path, name: str, tmp_path: Path) -> dict[str, Any]:
    return {
        "engine": "docker",
        "registry": name.rpartition("/")[0],
        "release": RELEASE,
        "digests": {},
        "pins": {},
        "images": {"engine": IMAGE},
        "record": str(tmp_path / "etc" / "images.json"),
        "auth_dir": str(tmp_path / "etc" / "auth"),
        "archive": str(saved),
        "username": "",
        "password": "",
        "timeout_s": 20,
    }


@pytest.mark.parametrize("program", ["docker", "podman"])
@pytest.mark.parametrize("pinned", [False, True])
def test_what_is_in_the_archive_is_taken_from_there_and_no_registry_asked(
    params: Any, engine: FakeEngine, name: str, local: str, digest: str, program: str, pinned: bool
) -> None:
    pins = {f"{name}:{RELEASE}": digest} if pinned else {}
    result = MODULE.work({**params, "engine": program, "pins": pins}, False)
    assert result["changed"] and result["pulled"] == engine.pulls() == [f"{local}@{digest}"]
    assert result["images"]["engine"] == {"repository": local, "digest": digest, "reference": f"{local}@{digest}"}
    assert result["pins"] == {f"{name}:{RELEASE}": digest}, "the other servers' too, wherever they take it from"
    record = json.loads(Path(params["record"]).read_text())
    assert record["containers"]["deepgram-engine"] == {"repository": local, "release": RELEASE, "digest": digest}
    (pull,) = (call for call in engine.calls if "pull" in call)
    assert ("--tls-verify=false" in pull) == (program == "podman"), "Docker's --tls-verify is another thing"
    again = MODULE.work({**params, "engine": program, "pins": pins}, False)
    assert not again["changed"] and again["images"] == result["images"] and len(engine.pulls()) == 1


def test_the_account_is_not_sent_to_loopback(params: Any, engine: FakeEngine) -> None:
    MODULE.work({**params, "username": "robot", "password": "secret"}, False)
    (pull,) = (call for call in engine.calls if "pull" in call)
    assert "--config" not in pull


def test_another_image_than_the_pinned_one_is_not_taken(params: Any, engine: FakeEngine, name: str, local: str) -> None:
    with pytest.raises(MODULE.PullFailed, match=OTHER):
        MODULE.work({**params, "pins": {f"{name}:{RELEASE}": OTHER}}, False)
    with pytest.raises(MODULE.PullFailed, match=OTHER):
        MODULE.work({**params, "digests": {"engine": OTHER}}, False)
    assert local not in str(engine.pulls()) and not Path(params["record"]).exists()


def test_another_release_is_asked_of_the_registry(params: Any, engine: FakeEngine, name: str, local: str) -> None:
    with pytest.raises(MODULE.PullFailed) as error:
        MODULE.work({**params, "release": "release-260826"}, False)
    assert engine.pulls() == [f"{name}:release-260826"] and "deepgram_release" in error.value.fix


def test_a_server_without_a_way_to_the_registry_is_told_of_archives(params: Any, engine: FakeEngine, name: str) -> None:
    engine.set(registry={f"{name}:{RELEASE}": {"error": "dial tcp: lookup quay.io: no such host"}})
    with pytest.raises(MODULE.PullFailed) as error:
        MODULE.work({**params, "archive": "/none"}, False)
    assert "dgctl images load" in error.value.fix


def test_an_image_from_the_registry_stays_what_it_is(params: Any, engine: FakeEngine, name: str, digest: str) -> None:
    """An archive that comes to a server that runs the same image already makes no container again."""
    engine.set(images={f"{name}@{digest}": {"RepoDigests": [f"{name}@{digest}"]}})
    result = MODULE.work({**params, "pins": {f"{name}:{RELEASE}": digest}}, False)
    assert result["pulled"] == [] and result["images"]["engine"]["reference"] == f"{name}@{digest}"


def test_an_archive_that_is_gone_is_missed_by_nobody_who_has_the_images(params: Any, digest: str, name: str) -> None:
    first = MODULE.work(params, False)
    again = MODULE.work({**params, "archive": "/none"}, False)
    assert not again["changed"] and again["images"] == first["images"]


def test_check_mode_and_pulling_ahead_take_nothing(params: Any, engine: FakeEngine, local: str, digest: str) -> None:
    assert MODULE.work(params, True)["pulled"] == [f"{local}@{digest}"]
    assert MODULE.begin(params, False)["pulled"] == [] and engine.pulls() == []


def test_loading_pins_nothing_and_is_done_once(params: Any, engine: FakeEngine, local: str, digest: str) -> None:
    assert MODULE.only_pull(params, False)["pulled"] == [f"{local}@{digest}"]
    assert not MODULE.only_pull(params, False)["changed"] and not Path(params["record"]).exists()
    assert len(engine.pulls()) == 1


def test_a_port_that_is_taken_is_named(params: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(archive: Any) -> Any:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(MODULE.loopback, "served", taken)
    with pytest.raises(MODULE.PullFailed, match="port 9812 cannot be used") as error:
        MODULE.work(params, False)
    assert "ss -ltnp" in error.value.fix


def test_a_way_back_takes_an_image_that_a_prune_took_from_the_archive(
    params: Any, engine: FakeEngine, saved: Path, local: str, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SNAPSHOT.archive, "PLACE", str(saved))
    monkeypatch.setattr(SNAPSHOT, "loopback", MODULE.loopback)
    image = {"repository": local, "release": RELEASE, "digest": digest}
    assert SNAPSHOT.missing("podman", {"deepgram-engine": image}) == [f"{local}@{digest}"]
    SNAPSHOT.fetch("podman", f"{local}@{digest}", 20)
    assert SNAPSHOT.missing("podman", {"deepgram-engine": image}) == [] and engine.pulls() == [f"{local}@{digest}"]
    with pytest.raises(SNAPSHOT.CommandFailed, match="no archive of images has it") as error:
        SNAPSHOT.fetch("podman", f"{local}@{OTHER}", 20)
    assert str(saved) in str(error.value)


def test_a_way_back_finds_an_archive_that_lies_elsewhere(
    engine: FakeEngine, saved: Path, local: str, digest: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where deepgram_image_archive says so; one at the usual place that has other images, or none, is no obstacle."""
    monkeypatch.setattr(SNAPSHOT, "loopback", MODULE.loopback)
    monkeypatch.setattr(SNAPSHOT.archive, "PLACE", str(tmp_path / "usual.tar"))
    other = tmp_path / "other.tar"
    shutil.copyfile(saved, other)
    rewritten(other, {SNAPSHOT.archive.ABOUT: json.dumps({**about(saved), "images": {}, "manifests": {}}).encode()})
    with pytest.raises(SNAPSHOT.CommandFailed, match=r"usual\.tar"):
        SNAPSHOT.fetch("podman", f"{local}@{digest}", 20)
    shutil.copyfile(other, SNAPSHOT.archive.PLACE)
    SNAPSHOT.fetch("podman", f"{local}@{digest}", 20, str(saved))
    assert engine.pulls() == [f"{local}@{digest}"]
    engine.set(images={})
    shutil.copyfile(saved, SNAPSHOT.archive.PLACE)
    SNAPSHOT.fetch("podman", f"{local}@{digest}", 20, str(other))
    assert engine.pulls() == 2 * [f"{local}@{digest}"]
    with pytest.raises(SNAPSHOT.CommandFailed) as error:
        SNAPSHOT.fetch("podman", f"{local}@{OTHER}", 20, str(other))
    assert str(other) in str(error.value) and "usual.tar" in str(error.value)


def about(file: Path) -> dict[str, Any]:
    with tarfile.open(file) as tar:
        return dict(json.load(tar.extractfile(SNAPSHOT.archive.ABOUT)))  # type: ignore[arg-type]


def test_rollback_is_told_where_the_archive_lies() -> None:
    (play,) = yaml.safe_load((PROJECT / "playbooks/rollback.yml").read_text())
    (task,) = (task for task in play["tasks"] if task.get("deepgram_snapshot", {}).get("state") == "restored")
    assert "deepgram_image_archive" in task["deepgram_snapshot"]["archive"]


@pytest.mark.parametrize("digests", ["none", "same", "other"])
def test_preflight_asks_no_registry_for_what_is_in_the_archive(
    saved: Path, registry: Registry, name: str, digests: str
) -> None:
    of = registry.tags[f"{IMAGE}:{RELEASE}"]
    given = {"none": {}, "same": {"engine": of}, "other": {"engine": OTHER}}[digests]
    asked = {"address": name.rpartition("/")[0], "images": [IMAGE], "release": RELEASE, "digests": given}
    registry.asked.clear()
    network = {"servers": {}, "model_links": [], "timeout_s": 5}
    asked |= {"pins": {}, "archive": str(saved), "username": "", "password": ""}
    found, _, _ = NETWORK.of_host(network, asked, {}, "/")
    if digests == "other":
        assert registry.asked
    else:
        assert [(each["check"], each["verdict"]) for each in found] == [(f"image {IMAGE}", "pass")]
        assert registry.asked == [] and "archive" in found[0]["seen"]


@pytest.mark.parametrize("release", [RELEASE, "release-260826"])
def test_preflight_asks_no_registry_for_what_runs_from_an_archive_that_is_gone(
    params: Any, registry: Registry, name: str, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    """The archive of the next release took its place, and this one is still to be provisioned."""
    MODULE.work(params, False)
    monkeypatch.setattr(NETWORK, "RECORDS", ("/none", params["record"]))
    registry.asked.clear()
    asked = {"address": name.rpartition("/")[0], "images": [IMAGE], "release": release, "digests": {}}
    network = {"servers": {}, "model_links": [], "timeout_s": 5}
    asked |= {"pins": {}, "archive": "/none", "username": "", "password": ""}
    NETWORK.of_host(network, asked, {}, "/")
    assert bool(registry.asked) == (release != RELEASE)


@pytest.mark.parametrize("pinned", ["first", "now", "none", "by the inventory"])
def test_preflight_says_that_a_tag_has_moved(registry: Registry, name: str, pinned: str) -> None:
    first = registry.push(IMAGE, text="one")
    now = registry.push(IMAGE, text="two")
    tag = f"{name}:{RELEASE}"
    asked: dict[str, Any] = {"address": name.rpartition("/")[0], "images": [IMAGE], "release": RELEASE}
    asked["pins"] = {"first": {tag: first}, "now": {tag: now}, "none": {}, "by the inventory": {tag: first}}[pinned]
    asked |= {"digests": {"engine": first} if pinned == "by the inventory" else {}, "archive": "/none"}
    network = {"servers": {}, "model_links": [], "timeout_s": 5}
    found, _, moved = NETWORK.of_host(network, {**asked, "username": USER, "password": PASSWORD}, {}, "/")
    assert [each["verdict"] for each in found] == ["pass", "pass"]
    assert moved == ([{"name": tag, "pinned": first, "now": now, "gone": False}] if pinned == "first" else [])


def test_pulling_ahead_says_that_a_tag_has_moved(
    params: Any, registry: Registry, engine: FakeEngine, name: str
) -> None:
    first, now = registry.push(IMAGE, text="one"), registry.push(IMAGE, text="two")
    tag = f"{name}:{RELEASE}"
    engine.offer(name, "as-others-have-it", first)
    own = {**params, "archive": "/none", "username": USER, "password": PASSWORD, "pins": {tag: first}}
    assert MODULE.only_pull(own, False)["moved"] == [{"name": tag, "pinned": first, "now": now, "gone": False}]
    assert MODULE.only_pull({**own, "pins": {}}, True)["moved"] == []


def test_preflight_knows_the_record_of_each_project() -> None:
    vars_of = {path.parents[1].name: path for path in PROJECT.glob("roles/*/vars/main.yml")}
    roles = ("license_proxy", "billing")
    places = {f"{yaml.safe_load(vars_of[role].read_text())[f'_{role}_dir']}/images.json" for role in roles}
    assert set(NETWORK.RECORDS) == {"/etc/deepgram/images.json", *places}
