"""`dgctl images`: what it refuses before a server is touched, and how one upload comes to four servers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dgctl.cli import main
from dgctl.deployment import images as lock
from dgctl.run import playbook
from dgctl.verbs.images import PLAYBOOK
from tests import ansible_home
from tests.paths import PROJECT
from tests.ports import free_port
from tests.unit.conftest import folder, root, servers, write  # noqa: F401 - fixtures
from tests.unit.servers_lease import Servers

from .conftest import PASSWORD, RELEASE, USER, Registry

NOTED = """\
- name: Note it
  ansible.builtin.copy:
    content: "{{{{ {{'release': deepgram_release, 'pins': deepgram_image_pins}} | to_json }}}}"
    dest: "{places}/{{{{ inventory_hostname }}}}-{role}.noted"
    mode: "0644"
"""
ROOM = "Ask whether the upload has room where it passes through"
HOSTS = ("gpu1", "gpu2", "gpu3", "gpu4")
INVENTORY = """\
[node]
{hosts}

[all:vars]
ansible_connection=local
ansible_become=false
ansible_python_interpreter={{{{ ansible_playbook_python }}}}
deepgram_address=127.0.0.1
deepgram_image_archive={places}/{{{{ inventory_hostname }}}}/archive.tar
deepgram_release={release}
deepgram_registry={registry}
deepgram_registry_username={user}
"""


@pytest.fixture
def places(folder: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """Four servers that are folders of this machine, on which no container engine runs; the test runs beside their inventory."""
    places = tmp_path / "places"
    inventory(places, registry)
    write(Path("group_vars/all/vault.yml"), f"deepgram_api_key: x\ndeepgram_registry_password: {PASSWORD}\n", 0o600)
    ansible_home.use(tmp_path / "ansible", monkeypatch)
    for image in ("self-hosted-api", "self-hosted-engine"):
        registry.push(image)
    write(tmp_path / "bin" / "docker", "#!/bin/sh\necho no daemon >&2\nexit 1\n", 0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return places


def inventory(places: Path, registry: Registry, release: str = RELEASE) -> None:
    registry_name = registry.name("x").rpartition("/")[0]
    text = INVENTORY.format(hosts="\n".join(HOSTS), places=places, release=release, registry=registry_name, user=USER)
    Path("inventory.ini").write_text(text)


def call(*words: str) -> tuple[int, Any]:
    words = (*words, "--port", str(free_port()))  # other tests load at the same time
    done = CliRunner().invoke(main, ["images", words[0], "inventory.ini", *words[1:], "--json"])
    return done.exit_code, json.loads(done.stdout)


def save(*words: str) -> dict[str, Any]:
    code, document = call("save", "--to", "images.tar", *words)
    assert code == 0, document
    return document


def archives(places: Path) -> list[Path]:
    return [path for path in (places / name / "archive.tar" for name in HOSTS) if path.exists()]


def test_saving_pins_what_the_tags_led_to(places: Path, registry: Registry) -> None:
    document = save()
    assert {each["name"]: each["digest"] for each in document["images"]} == lock.read(Path("inventory.ini"))
    assert lock.read(Path("inventory.ini")) == {
        f"{registry.name(image)}:{RELEASE}": registry.tags[f"{image}:{RELEASE}"]
        for image in ("self-hosted-api", "self-hosted-engine")
    }
    registry.push("self-hosted-api", text="another")
    before = Path("images.tar").read_bytes()
    save()
    assert Path("images.tar").read_bytes() == before, "the same images, whatever the tag leads to by now"


def test_a_moved_tag_is_said_and_the_new_one_taken_when_asked(places: Path, registry: Registry) -> None:
    assert "hints" not in save()
    api = f"{registry.name('self-hosted-api')}:{RELEASE}"
    first = lock.read(Path("inventory.ini"))[api]
    now = registry.push("self-hosted-api", text="another")
    (hint,) = save()["hints"]
    assert all(word in hint["what"] for word in (api, first, now, "go on to run")) and hint["where"] == "images.lock"
    assert hint["fix"].endswith("dgctl images update inventory.ini, then dgctl provision inventory.ini --full")
    assert lock.read(Path("inventory.ini"))[api] == first
    reported = CliRunner().invoke(main, ["images", "update", "inventory.ini"]).output
    assert f"{api} {first} -> {now}" in reported and "images.lock: 1 of 2 images updated" in reported
    assert "next: dgctl provision inventory.ini --full" in reported and lock.read(Path("inventory.ini"))[api] == now
    reported = CliRunner().invoke(main, ["images", "update", "inventory.ini"]).output
    assert "0 of 2 images updated" in reported and "next:" not in reported
    code, document = call("update")
    assert code == 0 and {"name": api, "digest": now} in document["images"]
    assert "hints" not in save()


def test_a_registry_out_of_reach_changes_no_pin(places: Path, registry: Registry) -> None:
    save()
    before = Path("images.lock").read_text()
    registry.tags.clear()
    code, document = call("update")
    assert code == 2 and "HTTP 404" in document["errors"][0]["what"] and Path("images.lock").read_text() == before


def test_preflight_knows_what_is_pinned(root: Path, loading: Path) -> None:  # noqa: F811
    """Else no server could say that a tag has moved."""
    save()
    tasks_of = NOTED.format(role="deepgram", places=loading).replace("\n", "\n    ")
    play = f"- name: Preflight\n  hosts: all\n  gather_facts: false\n  tasks:\n    {tasks_of}\n"
    write(root / "playbooks" / "preflight.yml", play)
    done = CliRunner().invoke(main, ["preflight", "inventory.ini", "--json", "--limit", "gpu1,gpu3"])
    assert done.exit_code == 0, done.stdout
    assert [*noted(loading)] == ["gpu1-deepgram.noted", "gpu3-deepgram.noted"]
    assert all(each["pins"] == lock.read(Path("inventory.ini")) for each in noted(loading).values())


def test_one_upload_reaches_four_servers(places: Path) -> None:
    """And what follows on it in one row of loads: each takes ten seconds of CPU."""
    save()
    Path("images.lock").unlink()  # as where the file was carried to another machine
    code, document = call("load", "images.tar")
    assert code == 0, document["errors"]
    assert [path.read_bytes() for path in archives(places)] == [Path("images.tar").read_bytes()] * 4
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in archives(places))
    assert len(lock.read(Path("inventory.ini"))) == 2
    assert uploads() == ["gpu1"] and tasks("Fetch the archive") == ["gpu2", "gpu3", "gpu4"]
    assert [path.name for path in places.rglob("*handover*")] == [], "nothing is handed out any more"
    assert PASSWORD not in events() and "_token" not in events()
    room_was_asked_for_before_anything_was_uploaded()
    code, again = call("load", "images.tar")
    assert code == 0 and uploads() == [] and {host["state"] for host in again["hosts"].values()} == {"ok"}
    a_server_that_lost_it_gets_it_from_one_that_has_it(places)


def room_was_asked_for_before_anything_was_uploaded() -> None:
    lines = [json.loads(line) for line in events().splitlines()]
    asked = [each for each in lines if each.get("task") == ROOM and each.get("event") == "runner_on_ok"]
    assert [each["host"] for each in asked] == ["gpu1"], "only where the upload passes through"
    (started,) = (
        at for at, each in enumerate(lines) if each.get("task") == "Upload the archive" and each.get("changed")
    )
    assert lines.index(asked[0]) < started


def a_server_that_lost_it_gets_it_from_one_that_has_it(places: Path) -> None:
    shutil.rmtree(places / "gpu1")
    assert call("load", "images.tar")[0] == 0
    assert uploads() == [] and tasks("Fetch the archive") == ["gpu1"] and len(archives(places)) == 4


def test_each_gets_it_from_here_where_servers_do_not_reach_each_other(places: Path) -> None:
    save()
    code, document = call("load", "images.tar", "--each")
    assert code == 0, document["errors"]
    assert uploads() == [*HOSTS] and len(archives(places)) == 4


def events() -> str:
    return (sorted(Path(".dgctl/runs").iterdir())[-1] / "events.jsonl").read_text()


def tasks(name: str) -> list[str]:
    """The servers that a task of the last run changed."""
    lines = [json.loads(line) for line in events().splitlines()]
    return sorted(
        each["host"]
        for each in lines
        if each.get("task") == name and each.get("event") == "runner_on_ok" and each.get("changed")
    )


def uploads() -> list[str]:
    return tasks("Upload the archive")


@pytest.fixture
def untouched(places: Path, monkeypatch: pytest.MonkeyPatch, servers: Servers) -> Callable[..., tuple[str, str]]:  # noqa: F811
    """untouched(words): what a load says that it refuses, and its fix; no server has been asked anything."""

    def go(*words: str) -> tuple[str, str]:
        monkeypatch.setattr(playbook, "run", lambda job: pytest.fail("a server was touched"))
        code, document = call("load", *words)
        assert code == 2 and servers.asked == [] and archives(places) == []
        assert all(error["fix"] for error in document["errors"])
        return " ".join(error["what"] for error in document["errors"]), document["errors"][0]["fix"]

    return go


def test_a_torn_archive_touches_no_server(untouched: Callable[..., tuple[str, str]]) -> None:
    save()
    data = Path("images.tar").read_bytes()
    Path("images.tar").write_bytes(data[: len(data) // 3])
    reported, fix = untouched("images.tar")
    assert "torn" in reported and "dgctl images save" in fix
    flipped = bytearray(data)
    flipped[len(data) // 6] ^= 1
    Path("images.tar").write_bytes(flipped)
    assert "damaged" in untouched("images.tar")[0] or "torn" in untouched("images.tar")[0]


def test_an_archive_of_another_release_touches_no_server(untouched: Any, places: Path, registry: Registry) -> None:
    save()
    inventory(places, registry, "release-260826")
    reported, fix = untouched("images.tar")
    assert "self-hosted-engine:release-260826: it has release-260812" in reported and "dgctl images save" in fix


def test_an_archive_of_another_image_touches_no_server(untouched: Any, registry: Registry) -> None:
    save()
    name = f"{registry.name('self-hosted-api')}:{RELEASE}"
    lines = Path("images.lock").read_text().splitlines()
    Path("images.lock").write_text("\n".join(f"{name} sha256:{'9' * 64}" if name in line else line for line in lines))
    reported, fix = untouched("images.tar")
    assert "another image" in reported and "9" * 64 in reported and "images.lock" in fix


@pytest.mark.parametrize("index", [True, False])
def test_an_archive_of_another_architecture_uploads_nothing(places: Path, registry: Registry, index: bool) -> None:
    for image in ("self-hosted-api", "self-hosted-engine"):
        registry.push(image, index=index, arch="arm64")
    save("--arch", "arm64")
    code, document = call("load", "images.tar")
    assert code != 0 and archives(places) == []
    assert {error["what"] for error in document["errors"]} == {
        "the archive's images are for arm64, and this server is amd64"
    }
    assert "--arch amd64" in document["errors"][0]["fix"]


def test_a_server_without_room_for_its_images_gets_no_archive(places: Path, tmp_path: Path) -> None:
    """/proc has no free byte: a container engine that has its images there has no room for more."""
    save()
    script = '#!/bin/sh\ncase $1 in info) echo \'{"DockerRootDir": "/proc"}\';; *) exit 1;; esac\n'
    write(tmp_path / "bin" / "docker", script, 0o755)
    code, document = call("load", "images.tar")
    assert code != 0 and archives(places) == []
    for error in document["errors"]:
        assert "no room for docker's images" in error["what"] and "at /proc" in error["what"]
        assert "free space there" in error["fix"]
    assert {error["where"] for error in document["errors"]} == {*HOSTS}


def test_there_is_no_such_file(untouched: Callable[..., tuple[str, str]]) -> None:
    reported, fix = untouched("none.tar")
    assert "it does not exist" in reported and "dgctl images save" in fix


MIXED = (
    ("save",),
    ("load",),
    ("pull", "x.tar"),
    ("update", "x.tar"),
    ("pull", "--to", "y"),
    ("save", "x.tar"),
    ("load", "x.tar", "--to", "y"),
)


@pytest.mark.parametrize("words", MIXED)
def test_the_ways_are_told_apart(places: Path, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, ["images", words[0], "inventory.ini", *words[1:]])
    assert done.exit_code == 2 and "images save INVENTORY --to FILE" in done.output


@pytest.fixture
def loading(root: Path, places: Path, tmp_path: Path) -> Path:  # noqa: F811
    """Servers on which Docker answers, with roles that note what they are to load."""
    places.mkdir()
    write(root / "playbooks" / PLAYBOOK, (PROJECT / "playbooks" / PLAYBOOK).read_text())
    for role, tasks in (("deepgram", "images_only"), ("license_proxy", "image_only")):
        write(root / "roles" / role / "tasks" / f"{tasks}.yml", NOTED.format(role=role, places=places))
    write(tmp_path / "bin" / "docker", "#!/bin/sh\nexit 0\n", 0o755)
    return places


def noted(places: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted(places.glob("*.noted"))}


def test_where_the_engine_runs_the_images_are_loaded(loading: Path, registry: Registry) -> None:
    with Path("inventory.ini").open("a") as file:
        file.write("\n[license_proxy]\ngpu4\n")
    registry.push("self-hosted-license-proxy")
    save()
    assert call("load", "images.tar")[0] == 0
    found = noted(loading)
    assert [*found] == [*(f"{name}-deepgram.noted" for name in HOSTS), "gpu4-license_proxy.noted"]
    assert all(each == {"release": RELEASE, "pins": lock.read(Path("inventory.ini"))} for each in found.values())


def test_pulling_ahead_is_loading_without_an_archive(loading: Path) -> None:
    code, document = call("pull", "--release", "release-260826", "--limit", "gpu2,gpu3")
    assert code == 0, document["errors"]
    assert noted(loading) == {
        f"{name}-deepgram.noted": {"release": "release-260826", "pins": {}} for name in ("gpu2", "gpu3")
    }
    assert archives(loading) == [] and tasks("Ask what the server has, and whether it can use the archive") == []
