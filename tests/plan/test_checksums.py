"""A line of models.lock that a server's file does not have is a reason to run the models' role, there and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dgctl import content
from dgctl.content import roles
from dgctl.deployment import models
from dgctl.deployment.deployment import Deployment
from dgctl.plan import plan as plans
from dgctl.plan.desired import Desired
from dgctl.plan.look import Seen
from dgctl.rollout import plan_text
from tests import utilities
from tests.paths import PROJECT
from tests.plan.conftest import answers, right
from tests.unit.validating import read

utilities.use()
from ansible.module_utils.deepgram.models import Models  # noqa: E402

A, B = "nova-3-general.en.streaming.dg", "nova-3-medical.en.batch.dg"
ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64
FILE = f"/var/lib/deepgram/models/{models.SUMS}"
INVENTORY = f"""\
[node]
gpu1 ansible_host=10.0.0.11
gpu2 ansible_host=10.0.0.12 deepgram_models_links=["https://models.example.com/{B}"]
[all:vars]
ansible_user=ops
deepgram_release=release-260812
"""


@pytest.fixture(autouse=True)
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(content, "root", lambda: PROJECT)
    (tmp_path / "group_vars/all").mkdir(parents=True)
    (tmp_path / "group_vars/all/main.yml").write_text(f"deepgram_models_links: [https://models.example.com/{A}]\n")
    (tmp_path / "group_vars/all/vault.yml").write_text("deepgram_api_key: key-of-the-tests\n")
    (tmp_path / "inventory.ini").write_text(INVENTORY)
    return tmp_path / "inventory.ini"


def in_sync(deployment: Deployment, name: str, sums: Any) -> Seen:
    """A server as its last run left it; `sums`: what its record of the models says."""
    own = [role.name for role in Desired(deployment).roles(deployment.hosts[name])]
    reports = {FILE: json.loads(json.dumps(sums))} if sums is not None else {}
    return Seen(right(*own), verified=True, reports=reports)


def planned(monkeypatch: pytest.MonkeyPatch, sums: Any) -> tuple[plans.Plan, dict[str, bool]]:
    """The plan, and whether the progress says "in sync" of each server."""
    deployment, shown = read(), {}
    has = {"gpu1": sums, "gpu2": {B: {"sha256": TWO, "size": 1, "mtime_ns": 1}}}
    answers(monkeypatch, {name: in_sync(deployment, name, each) for name, each in has.items()})
    return plans.make(deployment, {}, lambda name, seen: shown.update({name: seen.is_in_sync})), shown


def lock(inventory: Path, **sums: str) -> None:
    names = {"a": A, "b": B}
    models.path(inventory).write_text("".join(f"{sums[key]}  {names[key]}\n" for key in sums))


def test_a_changed_line_runs_the_models_role_where_the_server_has_that_model(
    monkeypatch: pytest.MonkeyPatch, inventory: Path
) -> None:
    lock(inventory, a=THREE, b=TWO)
    plan, shown = planned(monkeypatch, {A: {"sha256": ONE, "size": 1, "mtime_ns": 1}})
    host = plan.hosts["gpu1"]
    assert (host.roles, host.restarts, host.reboot, host.fetches) == (["deepgram_models"], [], False, True)
    assert host.replaces(plans.DEEPGRAM)  # what was verified is kept for `rollback`
    text = "\n".join(plan_text.lines(plan))
    assert (
        f"model {A}: another checksum is asked for: 333333333333... (models.lock), and the server's is 111111" in text
    )
    assert "gpu2: in sync" in text
    assert shown == {"gpu1": False, "gpu2": True}


@pytest.mark.parametrize(
    "sums",
    [
        pytest.param({A: {"sha256": ONE}}, id="the same"),
        pytest.param(None, id="a record of an older dgctl"),
        pytest.param({}, id="no file yet"),
        pytest.param({A: {"sha256": ""}, B: {"sha256": THREE}, "of": "release-1"}, id="of a rollback"),
        pytest.param({A: {"sha256": "hush"}}, id="no sum"),
        pytest.param({A: {"sha256": [THREE]}}, id="no text"),
        pytest.param({A: ONE}, id="no entry"),
        pytest.param([A], id="no record"),
    ],
)
def test_what_says_nothing_else_is_in_sync(monkeypatch: pytest.MonkeyPatch, inventory: Path, sums: Any) -> None:
    lock(inventory, a=ONE, b=TWO)
    assert planned(monkeypatch, sums)[0].changing == []


def test_without_the_file_and_with_a_sum_of_the_link_s_all_is_as_before(
    monkeypatch: pytest.MonkeyPatch, inventory: Path
) -> None:
    assert planned(monkeypatch, {A: {"sha256": ONE}})[0].changing == []
    lock(inventory, a=THREE)
    link = f'{{"url": "https://models.example.com/{A}", "sha256": "{ONE}"}}'
    inventory.write_text(INVENTORY.replace("10.0.0.11", f"10.0.0.11 deepgram_models_links='[{link}]'"))
    assert planned(monkeypatch, {A: {"sha256": ONE}})[0].changing == []


def test_the_first_download_of_a_deployment_changes_no_fingerprint(inventory: Path) -> None:
    """The role is recorded before its server's sums are in the file: a run must find itself in sync."""

    def fingerprint() -> str:
        deployment = read()
        return str(Desired(deployment).of(deployment.hosts["gpu1"])["deepgram_models"]["fingerprint"])

    before = fingerprint()
    lock(inventory, a=ONE)
    assert fingerprint() == before


def test_the_sums_are_where_the_role_reports_them(tmp_path: Path, inventory: Path) -> None:
    """What model_files writes beside the models is what its role has a look hand back, and what is compared."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / A).write_text("model")
    found = Models(str(folder), {})
    found.record(A, ONE, str(folder / A))
    (record,) = yaml.safe_load((PROJECT / "roles/deepgram_models/tasks/record.yml").read_text())
    assert record["applied_state"]["reports"] == "{{ __deepgram_models_files.records }}"
    written = folder / found.path(models.SUMS)
    lock(inventory, a=THREE)
    host = read().hosts["gpu1"]
    assert models.differing(inventory, host, {str(written): json.loads(written.read_text())}) == {A: (ONE, THREE)}


def test_nothing_restarts_for_a_model_of_another_checksum() -> None:
    role = roles.role("deepgram_models")
    assert role.restarted([f"model {A}"]) == [] and "deepgram_models" not in roles.role("deepgram").follows
