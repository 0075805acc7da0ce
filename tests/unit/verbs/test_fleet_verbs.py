"""What drain, remove, upgrade and rollback refuse before anything is touched, and what they take from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dgctl.base.errors import DgctlError, Exit
from dgctl.deployment import deployment as deployments
from dgctl.deployment import vault as vaults
from dgctl.deployment.deployment import Deployment
from dgctl.plan.plan import Plan
from dgctl.rollout import edited
from dgctl.run import snapshots
from dgctl.verbs import blue_green, drain, remove, rollback
from tests.plan.test_rollout import FLEET, deployment, seen
from tests.unit.conftest import folder, root  # noqa: F401 - fixtures

INVENTORY = """\
# two of them
[node]
gpu1 ansible_host=192.0.2.1 # the first
gpu2 ansible_host=192.0.2.2

[blue]
gpu1

[green]
gpu2

[proxy]
lb1 ansible_host=192.0.2.3

[blue:vars]
deepgram_release=release-260714

[green:vars]
deepgram_release=release-260714 # the same
"""


def refusal(call: Any, *arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(DgctlError) as error:
        call(*arguments)
    problem = error.value.problems[0]
    assert problem.fix
    return error.value.exit_code, problem.what, problem.value


@pytest.fixture
def written(root: Path, folder: Path) -> Deployment:  # noqa: F811
    Path("fleet.ini").write_text(INVENTORY)
    with vaults.opened(Path("fleet.ini"), (), (), False) as passwords:
        return deployments.load(Path("fleet.ini"), passwords)


def test_only_what_proxies_know_is_drained() -> None:
    of = deployment(**FLEET)
    assert drain.require_members(of, ("gpu2", "gpu1", "gpu2")) == ["gpu2", "gpu1"]
    assert refusal(drain.require_members, of, ("gpu9",))[0] == Exit.USAGE
    assert refusal(drain.require_members, of, ("lb",))[0] == Exit.USAGE
    code, what, _ = refusal(drain.require_members, deployment(node=["gpu1"]), ("gpu1",))
    assert code == Exit.USAGE and "nothing spreads requests" in what


def test_the_last_of_a_kind_is_not_removed() -> None:
    of = deployment(node=["gpu1", "gpu2", "flux1"], proxy=["lb"])
    remove._require_others(of, ["gpu1"])
    for hosts in (["flux1"], ["gpu1", "gpu2"], ["lb"]):
        assert refusal(remove._require_others, of, hosts)[0] == Exit.HALTED


def test_nor_the_last_that_gets_requests() -> None:
    of = deployment(**FLEET)
    members = seen("gpu1", "gpu2", gpu3="operator", gpu4="failed")
    remove._require_serving(of, Plan({}, {}, members=members), ["gpu1"], missing=[])
    members = seen("gpu1", gpu2="operator", gpu3="operator", gpu4="failed")
    code, _, value = refusal(remove._require_serving, of, Plan({}, {}, members=members), ["gpu1"], [])
    assert code == Exit.HALTED and value == "1 of 4 serving now, deepgram_min_serving is 1"
    members["gpu1"].states["lb"] = "down"  # a dead one serves nobody
    remove._require_serving(of, Plan({}, {}, members=members), ["gpu1"], missing=[])


def test_of_two_engines_both_must_stay_where_the_minimum_is_two() -> None:
    of = deployment(least=2, api=["api1"], engine=["e1", "e2"], proxy=["lb"])
    plan = Plan({}, {}, members=seen("api1"))
    code, what, _ = refusal(remove._require_serving, of, plan, ["e1"], [])
    assert (
        code == Exit.HALTED and what == "e1 cannot stop serving: too few of [engine], profile stt would serve meanwhile"
    )
    remove._require_serving(of, plan, ["e1"], missing=["e1"])


def test_the_last_of_a_profile_is_not_drained_by_default() -> None:
    of = deployment(node=["gpu1", "gpu2", "flux1"], proxy=["lb"])
    for host in of.hosts.values():
        del host.vars["deepgram_min_serving"]
    members = seen("gpu1", "gpu2", "flux1")
    drain.require_serving(of, members, ["gpu2"])
    for hosts in (["flux1"], ["gpu1", "gpu2"]):
        with pytest.raises(DgctlError) as error:
            drain.require_serving(of, members, hosts)
        assert error.value.exit_code == Exit.HALTED and "--force" in error.value.problems[0].fix
    drain.require_serving(of, seen("gpu1", "gpu2", flux1="operator"), ["flux1"])  # it is drained already


def test_the_switch_to_green_leaves_enough_that_serve() -> None:
    of = deployment(node=["gpu1", "gpu2", "gpu3"], proxy=["lb"])
    blue_green.require_serving(of, seen("gpu1", "gpu2", gpu3="operator"), ["gpu3"], ["gpu1", "gpu2"])
    of = deployment(least=2, node=["gpu1", "gpu2", "gpu3"], proxy=["lb"])
    members = seen("gpu1", "gpu2", gpu3="operator")
    assert refusal(blue_green.require_serving, of, members, ["gpu3"], ["gpu1", "gpu2"])[0] == Exit.HALTED
    of = deployment(node=["gpu1", "gpu2"], proxy=["lb"])
    serving_green = seen("gpu1", gpu2="operator")
    assert refusal(blue_green.require_serving, of, serving_green, ["gpu1"], ["gpu2"])[0] == Exit.HALTED


def test_a_removed_line_leaves_every_other_byte(written: Deployment) -> None:
    without = remove._text_without(written.inventory, ["gpu2"])
    assert without == INVENTORY.replace("gpu2 ansible_host=192.0.2.2\n", "").replace("gpu2\n", "")


def test_a_release_is_changed_where_it_stands(written: Deployment) -> None:
    lines = INVENTORY.splitlines()
    places = [
        lines.index("deepgram_release=release-260714") + 1,
        lines.index("deepgram_release=release-260714 # the same") + 1,
    ]
    stand = [(written.inventory, number, True) for number in places]
    assert edited._places(written, edited.RELEASE) == stand
    assert edited._places(written, edited.RELEASE, only=["gpu2"]) == stand[1:]


def test_green_needs_a_release_of_its_own(written: Deployment) -> None:
    Path("fleet.ini").write_text(INVENTORY.split("[blue:vars]")[0] + "[all:vars]\ndeepgram_release=release-260714\n")
    with vaults.opened(Path("fleet.ini"), (), (), False) as passwords:
        shared = deployments.load(Path("fleet.ini"), passwords)
    code, what, _ = refusal(edited._places, shared, edited.RELEASE, "x", ["gpu2"])
    assert code == Exit.INVALID and what == "this line sets the release of gpu1 too"


def test_green_and_blue(written: Deployment) -> None:
    assert blue_green.sides(written, "green") == (["gpu2"], ["gpu1"])
    assert refusal(blue_green.sides, written, "greem")[0] == Exit.USAGE
    assert refusal(blue_green.sides, written, "proxy")[0] == Exit.USAGE


def retained(real: str, current: str, slot: str = "current", **more: Any) -> dict[str, Any]:
    return {
        "real": {"release": real, "finished": True},
        "current": {"release": current},
        "would_restore": slot,
        "restoring": False,
        **more,
    }


def test_those_go_back_that_have_another_release() -> None:
    reported = {"gpu1": retained("r2", "r1"), "gpu2": retained("r1", "r1"), "gpu3": retained("r2", "", "")}
    assert list(snapshots.to_go_back(reported)) == ["gpu1"]
    assert snapshots.release(snapshots.to_go_back(reported)) == "r1"


def test_of_one_release_all_go_back_that_kept_something() -> None:
    assert list(snapshots.to_go_back({"gpu1": retained("r1", "r1"), "gpu2": retained("r1", "", "")})) == ["gpu1"]


def test_a_rollback_or_an_upgrade_that_was_cut_off_goes_on() -> None:
    half = retained("r2", "r1") | {"real": {"release": "r1", "finished": False}}
    assert list(
        snapshots.to_go_back({"gpu1": half, "gpu2": retained("r1", "r1", restoring=True), "gpu3": retained("r1", "r1")})
    ) == [
        "gpu1",
        "gpu2",
    ]


def test_nothing_kept_and_different_releases_are_refused() -> None:
    assert refusal(snapshots.release, {})[0] == Exit.HALTED
    assert refusal(snapshots.release, {"gpu1": retained("r3", "r1"), "gpu2": retained("r3", "r2")})[0] == Exit.HALTED


def test_a_rollback_remembers_whom_it_has_done(tmp_path: Path) -> None:
    started = rollback.Begun(tmp_path / "rollback.json")
    assert (started.release, started.done) == ("", [])
    started.done.append("gpu1")
    started.write("r1")
    assert (rollback.Begun(started.path).release, rollback.Begun(started.path).done) == ("r1", ["gpu1"])
    started.path.write_text("{")
    assert rollback.Begun(started.path).done == []
