"""`dgctl doctor`: findings of a module become a text that people read, a document, and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dgctl.run.session import main
from dgctl.verbs import doctor
from tests import documented
from tests.unit.called import called
from tests.unit.conftest import CHECKOUT, write
from tests.unit.local_hosts import do

pytestmark = pytest.mark.usefixtures("here")

MODULE = """\
    from ansible.module_utils.basic import AnsibleModule
    module = AnsibleModule({"findings": {"type": "list"}})
    module.exit_json(**module.params)
"""
PLAYBOOK = """\
- name: Doctor
  hosts: node
  gather_facts: false
  tasks:
    - name: Look
      say:
        findings: "{{ found }}"
"""
HEALTHY = {"check": "disk", "verdict": "pass", "seen": "90 GB free", "expected": "room", "fix": ""}
REBOOT = {"check": "reboot", "verdict": "skip", "seen": "asked for", "expected": "no", "fix": "reboot it when it suits"}
SILENT = {"check": "xid", "verdict": "skip", "seen": "not asked", "expected": "none", "fix": ""}
UNHEALTHY = {
    "check": "driver versions",
    "verdict": "fail",
    "seen": "loaded 1, library 2",
    "expected": "one version",
    "cause": "packages were changed",
    "fix": "dgctl provision; or reboot",
}


@pytest.fixture
def finds(root: Path, here: Path):
    """finds(a=[...], b=[...]): what the module finds on each host."""
    write(root / "plugins" / "modules" / "say.py", MODULE)
    write(root / "playbooks" / "doctor.yml", PLAYBOOK)

    def set_(**findings: list[dict[str, str]]) -> None:
        for name, found in findings.items():
            write(here / "host_vars" / f"{name}.yml", yaml.safe_dump({"found": found}))

    return set_


def read(capsys: pytest.CaptureFixture[str], **options: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr), as a person gets them."""
    code = main(called("doctor", Path("inventory.ini"), **options), doctor.doctor)
    reported = capsys.readouterr()
    return code, reported.out, reported.err


def test_healthy_servers_are_a_line_each(capsys: pytest.CaptureFixture[str], finds) -> None:
    finds(a=[HEALTHY, HEALTHY | {"check": "clock"}, SILENT], b=[HEALTHY, REBOOT])
    code, out, err = read(capsys)
    assert code == 0
    assert out.splitlines()[:2] == ["a  healthy (2 checks)", "b  healthy (1 check); reboot: asked for"]
    assert "2 servers: 2 healthy, 0 unhealthy" in out and "error" not in err


def test_the_unhealthy_come_first_with_cause_and_fix(capsys: pytest.CaptureFixture[str], finds) -> None:
    finds(a=[HEALTHY], b=[HEALTHY, UNHEALTHY])
    code, out, err = read(capsys)
    lines = out.splitlines()
    assert code == 8
    assert lines[0] == "b  unhealthy: 1 of 2 checks fail"
    assert lines[1] == "  driver versions  loaded 1, library 2 (expected one version)"
    assert lines[2].split() == ["cause:", "packages", "were", "changed"]
    assert lines[3].split(None, 1) == ["fix:", "dgctl provision inventory.ini --limit b; or reboot"]
    assert lines[5] == "a  healthy (1 check)"
    assert "2 servers: 1 healthy, 1 unhealthy" in out and "next: dgctl doctor inventory.ini" in out
    assert "error:" not in err  # it is said once


@pytest.mark.parametrize(
    ("fix", "whole"),
    [
        ("dgctl provision --full", "dgctl provision inventory.ini --limit a --full"),
        ("dgctl doctor --limit gpu2", "dgctl doctor inventory.ini --limit gpu2"),
        ("dgctl doctor --deep compares", "dgctl doctor inventory.ini --limit a --deep compares"),
        ("dgctl undrain gpu2, when", "dgctl undrain inventory.ini gpu2, when"),
        ("dgctl undrain gpu.2; x", "dgctl undrain inventory.ini gpu.2; x"),
        ("systemctl enable dgctl-provision", "systemctl enable dgctl-provision"),
    ],
)  # fmt: skip
def test_a_fix_by_dgctl_can_be_typed_as_it_stands(capsys, finds, fix: str, whole: str) -> None:
    finds(a=[{**UNHEALTHY, "fix": fix}], b=[HEALTHY])
    (found,) = [check for check in do(capsys, doctor.doctor)["checks"] if check["host"] == "a"]
    assert found["fix"] == whole


def test_what_follows_is_folded_under_its_cause(capsys: pytest.CaptureFixture[str], finds) -> None:
    follower = {**UNHEALTHY, "check": "gpu answers", "follows": "driver versions"}
    finds(a=[UNHEALTHY, follower, {**follower, "check": "containers"}], b=[HEALTHY])
    _, out, _ = read(capsys)
    lines = out.splitlines()
    assert lines[0] == "a  unhealthy: 3 of 3 checks fail, of 1 cause"
    assert lines[4].strip() == "follows from it: gpu answers, containers"
    assert out.count("fix:") == 1
    document = do(capsys, doctor.doctor)
    assert [check.get("follows", "") for check in document["checks"] if check["host"] == "a"] == [
        "", "driver versions", "driver versions"]  # fmt: skip
    assert len(document["errors"]) == len(document["hosts"]["a"]["errors"]) == 1


def test_the_document(capsys: pytest.CaptureFixture[str], finds) -> None:
    finds(a=[HEALTHY], b=[UNHEALTHY])
    document = do(capsys, doctor.doctor)
    assert document["command"] == "doctor" and document["exit_code"] == 8
    assert [host["state"] for host in document["hosts"].values()] == ["ok", "failed"]
    fix = UNHEALTHY["fix"].replace("dgctl provision", "dgctl provision inventory.ini --limit b")
    assert document["checks"] == [{"host": "a", **HEALTHY}, {"host": "b", **UNHEALTHY, "fix": fix}]
    problem = {"what": "driver versions (expected one version)", "where": "b", "value": UNHEALTHY["seen"], "fix": fix}
    assert document["errors"] == document["hosts"]["b"]["errors"] == [problem]


def test_one_that_cannot_be_asked_is_unreachable_and_not_unhealthy(
    capsys: pytest.CaptureFixture[str], finds, here: Path
) -> None:
    finds(a=[HEALTHY])
    variables = {"found": [], "ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    write(here / "host_vars" / "b.yml", yaml.safe_dump(variables))
    code, out, _ = read(capsys)
    assert code == 7
    assert out.splitlines()[0].startswith("b  unreachable: nothing listens on the SSH port")
    assert "2 servers: 1 healthy, 0 unhealthy, 1 not asked" in out
    finds(a=[UNHEALTHY])
    assert read(capsys)[0] == 8


def test_the_playbook_gives_the_module_what_it_takes() -> None:
    play = yaml.safe_load((CHECKOUT / "playbooks/doctor.yml").read_text())[0]
    given = next(task["host_doctor"] for task in play["tasks"] if "host_doctor" in task)
    assert set(given) == set(documented.options("host_doctor"))
    assert "doctor_deep" in given["deep"] and play["name"] == doctor.PLAY
    files = {(CHECKOUT / "playbooks" / path).resolve().name for path in play["vars_files"]}
    assert files == {"gpus.yml", "branches.yml", "nvswitch.yml", "cdi.yml"}


@pytest.mark.parametrize("deep", [True, False])
def test_deep_reaches_the_playbook(capsys: pytest.CaptureFixture[str], finds, root: Path, deep: bool) -> None:
    found = "{{ [found[1] if doctor_deep | default(false) else found[0]] }}"
    finds(a=[HEALTHY, UNHEALTHY], b=[HEALTHY, HEALTHY])
    write(root / "playbooks" / "doctor.yml", PLAYBOOK.replace("{{ found }}", found))
    _, out, _ = read(capsys, deep=deep)
    assert ("a  unhealthy: 1 of 1 check fail" in out) == deep
    assert ("next: dgctl doctor inventory.ini --deep" in out) == deep
    assert "--limit a --deep" not in out  # no option of the fix's
