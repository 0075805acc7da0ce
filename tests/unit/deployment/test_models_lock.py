"""models.lock: every server has the model files that the first one got, and no server says what others are to have."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dgctl.base.errors import DgctlError, Exit
from dgctl.deployment import images, models
from dgctl.deployment.deployment import Host
from dgctl.plan import audit
from dgctl.run import outcomes, playbook
from dgctl.verbs import validate
from dgctl.verify import topology
from tests.unit.deployment.test_images_lock import API, ready
from tests.unit.deployment.test_images_lock import ONE as DIGEST
from tests.unit.local_hosts import do

INVENTORY = Path("inventory.ini")
A, B = "nova-3-general.en.batch.a1.dg", "diarizer.b2.dgv2"
LINKS = [f"https://models.example.com/{A}?sig=hush", {"url": f"https://models.example.com/{B}"}]
ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def host(name: str = "gpu1", group: str = "node", links: Any = LINKS) -> Host:
    return Host(name, "192.0.2.1", [group], {"deepgram_models_links": links})


def test_the_first_that_is_downloaded_is_everybody_s() -> None:
    models.learn(INVENTORY, host(), {A: ONE})
    assert models.learn(INVENTORY, host("gpu1"), {A: ONE}) == []
    assert [one.where for one in models.learn(INVENTORY, host("gpu2"), {A: TWO, B: TWO})] == ["gpu2"]
    assert models.read(INVENTORY) == models.locked(INVENTORY, host("gpu3")) == {A: ONE, B: TWO}
    file = models.path(INVENTORY)
    assert file.read_text().startswith("# Written by dgctl") and file.stat().st_mode & 0o777 == 0o644
    assert "hush" not in file.read_text()


def test_a_link_with_a_sum_and_a_server_without_an_engine_need_none() -> None:
    models.learn(INVENTORY, host(), {A: ONE, B: ONE})
    reported = {"url": LINKS[0], "sha256": TWO}
    assert models.locked(INVENTORY, host(links=[reported, LINKS[1]])) == {B: ONE}
    assert models.locked(INVENTORY, host(group="proxy")) == models.locked(INVENTORY, host(links="{{ x }}")) == {}


@pytest.mark.parametrize(
    "reported",
    [{"other.dg": ONE}, {A: "1"}, {A: ONE.replace("1", "G")}, {A: f"{ONE}\n{TWO}"}, {A: None}, {A: [ONE]}],
)
def test_what_is_no_model_of_the_server_s_own_is_not_believed(reported: dict[str, Any]) -> None:
    models.learn(INVENTORY, host(), reported)
    assert not models.path(INVENTORY).exists()


@pytest.mark.parametrize("name", ["a%0Ab.dg", "a%E2%80%A8b.dg", "..%2Fa.dg", "a%5Cb.dg"])
def test_a_name_that_would_be_another_line_or_place_is_not_written(name: str) -> None:
    odd = host(links=[f"https://models.example.com/{name}"])
    models.learn(INVENTORY, odd, {models.bare(odd)[0]: ONE})
    assert not models.path(INVENTORY).exists()


def test_sha256sum_reads_it() -> None:
    """sha256sum(1): a line is the digits, two spaces, and the name; lines that begin with # are left out."""
    Path(A).write_text("model")
    models.learn(INVENTORY, host(), {A: hashlib.sha256(b"model").hexdigest()})
    checked = subprocess.run(["sha256sum", "--strict", "-c", "models.lock"], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, f"{A}: OK\n")


def test_a_line_that_pins_nothing_is_refused_with_its_place() -> None:
    models.path(INVENTORY).write_text(f"# x\n{ONE}  {A}\n{A} {ONE}\n<<<<<<< HEAD\n\n")
    with pytest.raises(DgctlError) as error:
        models.read(INVENTORY)
    assert error.value.exit_code == Exit.INVALID
    assert [problem.where for problem in error.value.problems] == ["models.lock:3", "models.lock:4"]
    assert all("64 hex digits, two spaces" in problem.fix for problem in error.value.problems)


def test_validate_refuses_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("models.lock").write_text("<<<<<<< HEAD\n")
    document = do(capsys, validate.validate)
    assert (document["exit_code"], document["errors"][0]["where"]) == (3, "models.lock:1")


def test_a_run_gives_them_to_its_servers_and_learns_of_those_that_got_them(monkeypatch: pytest.MonkeyPatch) -> None:
    work, given = ready(monkeypatch, {"gpu1": {API: DIGEST, A: ONE}, "gpu2": {A: TWO}}, deepgram_models_links=LINKS)
    part = playbook.Part(["gpu1"], {})
    first = outcomes.ran(work, "provision.yml", part=part)
    outcomes.ran(work, "provision.yml", part=part)
    assert [one[models.VARIABLE] for one in given] == [{}, {A: ONE}]
    assert images.read(INVENTORY) == {API: DIGEST}
    assert [name for name, end in first.hosts.items() if end.state == "failed"] == ["gpu2"]
    (problem,) = first.hosts["gpu2"].errors
    assert problem.where == "gpu2" and all(word in problem.what for word in (A, ONE, TWO)) and "sha256" in problem.fix
    assert topology.desired_state(work.deployment, work.deployment.hosts["gpu2"])["models_locked"] == {A: ONE}


def test_what_is_locked_is_not_unpinned() -> None:
    def reported() -> str:
        return "".join(text for text in audit.unpinned(host(), INVENTORY) if text.startswith("models"))

    assert A in reported() and B in reported()
    models.learn(INVENTORY, host(), {A: ONE})
    assert A not in reported() and B in reported()
    models.learn(INVENTORY, host(), {B: ONE})
    assert not reported()
