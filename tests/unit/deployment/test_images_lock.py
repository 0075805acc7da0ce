"""images.lock: every server of a release gets the image that the first one got, and no server says what others are to run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dgctl.base.errors import DgctlError, Exit
from dgctl.deployment import images
from dgctl.deployment.deployment import Host
from dgctl.output.report import Outcome
from dgctl.plan import audit
from dgctl.run import outcomes, playbook
from dgctl.run.collector import Collector, RunResult
from dgctl.verbs import validate
from dgctl.verify import topology
from tests.plan.test_rollout import deployment
from tests.unit.local_hosts import do

INVENTORY = Path("inventory.ini")
API, ENGINE = (f"quay.io/deepgram/self-hosted-{part}:release-260812" for part in ("api", "engine"))
ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def host(name: str = "gpu1", **variables: Any) -> Host:
    return Host(name, "192.0.2.1", ["node"], {"deepgram_release": "release-260812", **variables})


def test_the_first_that_is_pulled_is_everybody_s() -> None:
    images.learn(INVENTORY, host(), {API: ONE})
    images.learn(INVENTORY, host("gpu2"), {API: TWO, ENGINE: TWO})
    assert images.read(INVENTORY) == {API: ONE, ENGINE: TWO}
    assert images.locked(INVENTORY, host("gpu3")) == {"api": ONE, "engine": TWO}
    assert images.locked(INVENTORY, host(deepgram_release="release-260826")) == {}
    assert images.locked(INVENTORY, host(deepgram_registry="mirror.example.com/dg")) == {}
    file = images.path(INVENTORY)
    assert file.read_text().startswith("# Written by dgctl") and file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "reported",
    [
        {"quay.io/elsewhere/self-hosted-api:release-260812": ONE},
        {"quay.io/deepgram/self-hosted-api:release-250101": ONE},
        {"quay.io/deepgram/other:release-260812": ONE},
        {API: "sha256:1"},
        {API: f"{ONE}\nquay.io/x:y {TWO}"},
        {API: None},
        {API: [ONE]},
    ],
)
def test_what_is_no_image_of_the_server_s_own_is_not_believed(reported: dict[str, Any]) -> None:
    images.learn(INVENTORY, host(), reported)
    assert not images.path(INVENTORY).exists()


def test_a_line_that_pins_nothing_is_refused_with_its_place() -> None:
    images.path(INVENTORY).write_text(f"# x\n{API} {ONE}\n{ENGINE} latest\n<<<<<<< HEAD\n\n")
    with pytest.raises(DgctlError) as error:
        images.read(INVENTORY)
    assert error.value.exit_code == Exit.INVALID
    assert [problem.where for problem in error.value.problems] == ["images.lock:3", "images.lock:4"]
    assert all(problem.fix for problem in error.value.problems)


def test_validate_refuses_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("images.lock").write_text("<<<<<<< HEAD\n")
    document = do(capsys, validate.validate)
    assert (document["exit_code"], document["errors"][0]["where"]) == (3, "images.lock:1")


def ready(monkeypatch: pytest.MonkeyPatch, pins: dict[str, dict[str, str]], **variables: Any) -> tuple[Any, list[Any]]:
    """A run's work on two servers that tell these pins, and the variables that each of its playbooks was given."""
    given: list[Any] = []

    def run(job: playbook.Run) -> RunResult:
        given.append(job.part.variables if job.part else None)
        return RunResult({}, pins=pins)

    monkeypatch.setattr("dgctl.run.playbook.run", run)
    monkeypatch.setattr("dgctl.run.outcomes.playbook.phases", lambda name: [])
    of = deployment(node=["gpu1", "gpu2"])
    of.inventory = INVENTORY
    for name in ("gpu1", "gpu2"):
        of.hosts[name].vars.update(deepgram_release="release-260812", **variables)
    session = SimpleNamespace(options=SimpleNamespace(check=False), verbosity=0, record=None)
    work: Any = SimpleNamespace(
        session=session, deployment=of, vault=None, require_lease=lambda: None, progress=lambda *of: _Nothing()
    )
    return work, given


def test_a_run_gives_them_to_its_servers_and_learns_of_those_it_had_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    work, given = ready(monkeypatch, {"gpu1": {API: ONE}, "gpu2": {API: TWO}})
    part = playbook.Part(["gpu1"], {}, variables={"drain": ["gpu1"]})
    outcomes.ran(work, "provision.yml", part=part)
    outcomes.ran(work, "provision.yml", part=part)
    assert [(one["drain"], one[images.VARIABLE]) for one in given] == [(["gpu1"], {}), (["gpu1"], {API: ONE})]
    assert topology.desired_state(work.deployment, work.deployment.hosts["gpu2"])["images_locked"] == {"api": ONE}


def test_a_moved_tag_is_a_hint_and_only_of_what_the_file_pins() -> None:
    images.learn(INVENTORY, host(), {API: ONE})
    row = {"name": API, "pinned": ONE, "now": TWO}
    (hint,) = images.moved(INVENTORY, [row], "release-260812")
    assert (
        hint.where == "images.lock" and f"pins {ONE}, which servers go on to run; the registry has {TWO}" in hint.what
    )
    assert "dgctl images update inventory.ini --release release-260812, then dgctl provision" in hint.fix
    (hint,) = images.moved(INVENTORY, [{**row, "gone": True}])
    assert "no further server can pull it" in hint.what and "--release" not in hint.fix
    untrue = [{**row, "now": "evil"}, {**row, "now": ONE}, {**row, "pinned": TWO}, {**row, "name": ENGINE}, {}]
    assert images.moved(INVENTORY, untrue) == []


def test_a_run_s_moved_tags_are_hints_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images.learn(INVENTORY, host(), {API: ONE})
    job: Any = SimpleNamespace(
        part=None, deployment=SimpleNamespace(targets=["gpu1", "gpu2"]), playbook="preflight.yml"
    )
    collector = Collector(job, [])
    for name in ("gpu1", "gpu2"):
        collector._collect(name, {"moved": [{"name": API, "pinned": ONE, "now": TWO}]})
    collector._collect("gpu1", {"moved": ["nonsense"]})
    outcome, work = Outcome(), cast(Any, SimpleNamespace(deployment=SimpleNamespace(inventory=INVENTORY)))
    for _ in range(2):
        outcomes.add_moved(outcome, work, collector.result, None)
    assert len(outcome.hints) == 1 and TWO in outcome.hints[0].what


class _Nothing:
    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *of: object) -> None:
        pass


def test_they_come_from_whichever_task_says_them() -> None:
    job: Any = SimpleNamespace(part=None, deployment=SimpleNamespace(targets=["gpu1"]), playbook="provision.yml")
    collector = Collector(job, [])
    for pins in ({API: ONE}, {ENGINE: TWO}, "nonsense"):
        collector._collect("gpu1", {"pins": pins})
    assert collector.result.pins == {"gpu1": {API: ONE, ENGINE: TWO}}


def test_what_is_locked_is_not_unpinned() -> None:
    def reported() -> bool:
        return any(text.startswith("images:") for text in audit.unpinned(host(), INVENTORY))

    images.learn(INVENTORY, host(), {API: ONE})
    assert reported()
    images.learn(INVENTORY, host(), {ENGINE: ONE})
    assert not reported()
