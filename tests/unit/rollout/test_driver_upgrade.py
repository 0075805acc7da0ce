"""`upgrade --driver`: which version it settles on, what it refuses before any server is touched, where it writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dgctl.base.errors import DgctlError, Exit
from dgctl.deployment import deployment as deployments
from dgctl.deployment import inventory_edit
from dgctl.deployment import vault as vaults
from dgctl.rollout import driver_upgrade, edited
from dgctl.run.work import Work
from dgctl.verbs import upgrade
from tests.unit.called import called
from tests.unit.conftest import folder, root  # noqa: F401 - fixtures

HAVE = ["580.95.05", "580.173.02", "580.178.04", "595.91.07"]
INI = """\
[node]
gpu1 ansible_host=192.0.2.1 deepgram_release=release-260714  # the first
gpu2 ansible_host=192.0.2.2

[proxy]
lb1 ansible_host=192.0.2.3

[all:vars]
deepgram_release=release-260812
ansible_user=ops
"""


def offers(**versions: list[str]) -> driver_upgrade.Offers:
    return {name: {"driver_offers": has, "driver_installed": "580.95.05"} for name, has in versions.items()}


def refusal(call: Any, *arguments: Any) -> DgctlError:
    with pytest.raises(DgctlError) as error:
        call(*arguments)
    assert error.value.problems[0].fix
    return error.value


@pytest.mark.parametrize(
    ("text", "found"),
    [("595", ("595", "")), ("580.178.04", ("580", "580.178.04")), ("595.80", ("595", "595.80"))],
)
def test_a_branch_or_a_version(text: str, found: tuple[str, str]) -> None:
    assert driver_upgrade.parse(text) == found


@pytest.mark.parametrize("text", ["", "58", "latest", "580.1.2.3", "580-open", "5800"])
def test_what_is_no_driver(text: str) -> None:
    assert refusal(driver_upgrade.parse, text).exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("servers", "branch", "version", "settled"),
    [
        ({"gpu1": HAVE}, "580", "", "580.178.04"),
        ({"gpu1": HAVE, "gpu2": HAVE[:2]}, "580", "", "580.173.02"),  # the newest that both can have
        ({"gpu1": HAVE}, "580", "580.95.05", "580.95.05"),
        ({"gpu1": HAVE, "gpu2": []}, "595", "", "595.91.07"),  # gpu2 is new, and has no source yet
        ({"gpu1": []}, "595", "", ""),
        ({"gpu1": []}, "595", "595.91.07", "595.91.07"),
    ],
)
def test_the_version_that_all_can_have(servers: dict, branch: str, version: str, settled: str) -> None:
    assert driver_upgrade.settled(offers(**servers), branch, version) == settled


@pytest.mark.parametrize(
    ("servers", "branch", "version", "what"),
    [
        ({"gpu1": HAVE, "gpu2": HAVE[:3]}, "595", "", "gpu2 lack driver 595"),
        ({"gpu1": HAVE}, "580", "580.1.1", "gpu1 lack driver 580.1.1"),
        ({"gpu1": HAVE[:1], "gpu2": HAVE[1:]}, "580", "", "no version of driver 580"),
    ],
)
def test_what_a_server_cannot_have_is_refused(servers: dict, branch: str, version: str, what: str) -> None:
    error = refusal(driver_upgrade.settled, offers(**servers), branch, version)
    assert error.exit_code == Exit.PREFLIGHT and what in error.problems[0].what
    assert "580.95.05" in error.problems[0].fix


def test_of_many_versions_the_nearest_are_named() -> None:
    has = ["620.10.01", "615.71.09", "595.91.07", "580.95.05", "580.173.02", "570.86.15"]
    error = refusal(driver_upgrade.settled, offers(gpu1=has), "580", "580.1.1")
    assert "they have 580.173.02, 580.95.05, 620.10.01 and 3 more" in error.problems[0].fix


def test_what_stands_nowhere_is_written_beside_the_release() -> None:
    path = Path("inventory.ini")
    line = INI.splitlines().index("deepgram_release=release-260812") + 1
    text = inventory_edit.beside_in_ini(INI, "nvidia_driver_branch", "595", "deepgram_release", line, path)
    assert text == INI.replace("release-260812\n", "release-260812\nnvidia_driver_branch='595'\n")
    text = inventory_edit.beside_in_ini(INI, "nvidia_driver_branch", "595", "deepgram_release", 2, path)
    assert "deepgram_release=release-260714 nvidia_driver_branch=''\"'\"'595'\"'\"''  # the first\n" in text
    source = "a: 1\ndeepgram_release: release-260812 # now\nb: 2"
    text = inventory_edit.beside_in_yaml(
        source, "nvidia_driver_version", "595.80", "deepgram_release", 2, Path("x.yml")
    )
    assert yaml.safe_load(text) == {
        "a": 1,
        "deepgram_release": "release-260812",
        "nvidia_driver_version": "595.80",
        "b": 2,
    }
    assert "# now\nnvidia_driver_version: '595.80'\n" in text
    text = inventory_edit.beside_in_yaml("deepgram_release: x", "y", "z", "deepgram_release", 1, Path("x.yml"))
    assert yaml.safe_load(text) == {"deepgram_release": "x", "y": "z"}


@pytest.fixture
def work(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """work(text): the deployment of that inventory; its servers offer HAVE."""
    monkeypatch.setattr(edited, "require_valid", lambda deployment: None)
    monkeypatch.setattr(driver_upgrade, "ask", lambda work, hosts: offers(**dict.fromkeys(hosts, HAVE)))

    def made(text: str, *more: str) -> Work:
        Path("inventory.ini").write_text(text)
        with Path("group_vars/all/main.yml").open("a") as file:
            file.write("".join(f"{line}\n" for line in more))
        with vaults.opened(Path("inventory.ini"), (), (), False) as passwords:
            session = called("upgrade", Path("inventory.ini"))
            return Work(session, deployments.load(Path("inventory.ini"), passwords), passwords)

    return made


def values(work: Work, name: str) -> dict[str, Any]:
    return {host: work.deployment.hosts[host].vars.get(name) for host in ("gpu1", "gpu2")}


def test_a_branch_is_written_with_its_newest_version(work: Any) -> None:
    asked = upgrade.Asked(branch="595")
    with upgrade.written(work(INI), asked) as changed:
        assert values(changed, "nvidia_driver_branch") == {"gpu1": "595", "gpu2": "595"}
        assert values(changed, "nvidia_driver_version") == {"gpu1": "595.91.07", "gpu2": "595.91.07"}
        assert values(changed, "deepgram_release") == {"gpu1": "release-260714", "gpu2": "release-260812"}
    assert str(asked) == "driver 595.91.07" and asked.before == "580.95.05"
    assert "--driver 580.95.05" in asked.way_back(changed.session)[0]


def test_a_driver_and_a_release_together_where_they_stand(work: Any) -> None:
    lines = ["nvidia_driver_version: 580.95.05  # pinned"]
    asked = upgrade.Asked("release-260826", "580", "580.178.04")
    with upgrade.written(work(INI, *lines), asked) as changed:
        assert set(values(changed, "deepgram_release").values()) == {"release-260826"}
        assert set(values(changed, "nvidia_driver_version").values()) == {"580.178.04"}
    assert "nvidia_driver_version: 580.178.04  # pinned" in Path("group_vars/all/main.yml").read_text()
    assert str(asked) == "release-260826 and driver 580.178.04"


def test_nothing_is_left_written_where_a_server_cannot_have_it(work: Any) -> None:
    before = work(INI), Path("inventory.ini").read_bytes()
    with pytest.raises(DgctlError), upgrade.written(before[0], upgrade.Asked(branch="610")):
        pass
    assert Path("inventory.ini").read_bytes() == before[1]


def test_the_driver_of_one_group_alone(work: Any) -> None:
    text = INI.replace(
        "[all:vars]\ndeepgram_release=release-260812", "[b]\ngpu2\n[b:vars]\ndeepgram_release=r\n[all:vars]"
    )
    with upgrade.written(work(text), upgrade.Asked(branch="595"), ["gpu2"]) as changed:
        assert values(changed, "nvidia_driver_branch") == {"gpu1": "580", "gpu2": "595"}
    error = refusal(lambda: upgrade.written(work(INI.replace("deepgram_release=release-260714", "")),
                                              upgrade.Asked(branch="595"), ["gpu2"]).__enter__())  # fmt: skip
    assert error.problems[0].what == "this line sets the driver of gpu1 too"


def test_an_upgrade_to_nothing_is_refused() -> None:
    assert refusal(upgrade.Asked.of, called("upgrade", Path("inventory.ini"))).exit_code == Exit.USAGE


def test_the_command_to_run_again_names_what_was_asked_for() -> None:
    session = called("upgrade", Path("inventory.ini"), release="r", driver="595", green="green")
    assert session.again() == "dgctl upgrade inventory.ini --release r --driver 595 --blue-green green"
    assert session.again("status") == "dgctl status inventory.ini"
