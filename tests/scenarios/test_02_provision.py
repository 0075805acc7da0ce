"""From blank to serving, killed on the way; then again, and nothing changes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.scenarios.support.servers import DGCTL

SECRETS = ("deepgram_api_key", "deepgram_registry_password")


def killed(deployment, phase: str, after_s: float) -> None:
    """Starts `provision` and kills it, so many seconds after it said that this phase began."""
    with subprocess.Popen(
        [DGCTL, "provision", deployment.inventory, "--yes"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        if not any(phase in line for line in running.stderr):
            pytest.fail(f"the run ended before it reached {phase}")
        time.sleep(after_s)
        running.send_signal(signal.SIGKILL)


def test_killed_on_the_way_and_run_again(deployment, server):
    killed(deployment, "NVIDIA driver", 6)  # while apt works
    killed(deployment, "Deepgram", 1)
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert run.document["hosts"][server.name]["state"] in ("ok", "changed")
    assert {check["verdict"] for check in run.document["checks"]} <= {"pass", "skip"}
    # What the killed runs had done is not done again, and nothing is left to do.
    assert not {"nvidia_driver", "docker", "deepgram_models"} & roles_run(deployment)
    assert deployment.dgctl("plan").exit_code == 0


def roles_run(deployment) -> set[str]:
    """The roles whose tasks the newest run executed."""
    lines = (newest_record(deployment) / "events.jsonl").read_text().splitlines()
    return {event["role"] for event in map(json.loads, lines) if event.get("host") and event.get("role")}


def test_second_run_changes_nothing(deployment, server):
    run = deployment.dgctl("provision", "--yes", "--full")
    assert run.exit_code == 0, run.problems()
    assert run.document["hosts"][server.name] == {"state": "ok", "changed": 0, "errors": []}


def newest_record(deployment, verb="provision") -> Path:
    return max((deployment.folder / ".dgctl/runs").glob(f"*{verb}*"))


def test_few_tasks_and_no_long_loops(deployment, server):
    tasks, items = 0, {}
    for line in (newest_record(deployment) / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event.get("host") != server.name:
            continue
        if event["event"] in ("runner_on_ok", "runner_on_failed"):
            tasks += 1
        if event["event"] == "runner_item_on_ok":
            items[event["task"]] = items.get(event["task"], 0) + 1
    assert 10 < tasks <= 60
    assert not {task: count for task, count in items.items() if count > 5}


def test_secrets_stay_secret(deployment, server):
    shown = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-vault"),
            "view",
            f"--vault-password-file={deployment.folder}/.vault_pass",
            deployment.folder / "group_vars/all/vault.yml",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    secrets = [str(value) for name, value in yaml.safe_load(shown).items() if name in SECRETS]
    assert len(secrets) == 2
    for secret in secrets:
        for path in (deployment.folder / ".dgctl/runs").rglob("*"):
            assert os.stat(path).st_mode & 0o077 == 0, path
            assert path.is_dir() or secret not in path.read_text(errors="replace"), path
        found = server.sh(
            "find /etc /var/lib/deepgram /root /home /tmp -xdev -type f -perm /044 -size -1M"
            f" -exec grep -lF -- '{secret}' {{}} + || true"
        )
        assert not found, f"world-readable: {found}"
        assert secret not in server.sh("journalctl --no-pager -q")


def test_locked_while_another_run_works(deployment):
    with subprocess.Popen(
        [DGCTL, "provision", deployment.inventory, "--yes", "--full"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        next(line for line in running.stderr if "Preflight" in line)
        second = deployment.dgctl("provision", "--yes")
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert second.exit_code == 9
    assert str(running.pid) in second.problems()
    assert running.returncode == 130
