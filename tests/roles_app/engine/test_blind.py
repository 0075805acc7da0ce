"""A container that lost its GPUs is recreated by the role, and one that has them, or never had any, is left alone."""

import pytest
from ansible.module_utils.deepgram import engines

URLS = {"engine": "http://127.0.0.1:9"}
PARAMETERS = {"files": {"engine": []}, "urls": URLS, "directory": "/etc/deepgram", "stop_timeout_s": 1}
LOST = "echo 'Failed to initialize NVML: Unknown Error'; exit 255"
HAS = "echo 'GPU 0: Tesla T4 (UUID: GPU-1)'"
NO_PROGRAM = "echo 'executable file not found in $PATH'; exit 127"


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """docker(script): what `docker exec ... nvidia-smi -L` does; returns the commands that were given since."""
    log = tmp_path / "log"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def make(script):
        program = tmp_path / "docker"
        program.write_text(f'#!/bin/sh\necho "$*" >> {log}\ncase $1 in exec) {script} ;; esac\n')
        program.chmod(0o755)
        return log

    return make


def container(**changes):
    return {"engine": {"running": True, "started": 1.0, "gpu": True, "pid": 0, "command": []} | changes}


@pytest.mark.parametrize(
    ("script", "changes", "due"),
    [
        (LOST, {}, {"engine"}),
        (HAS, {}, set()),
        (NO_PROGRAM, {}, set()),
        (LOST, {"gpu": False}, set()),
    ],
)
def test_due(docker, script, changes, due):
    docker(script)
    assert engines.Docker(PARAMETERS, False).due(container(**changes)) == due


def test_it_is_recreated_and_not_only_started(docker):
    log = docker(LOST)
    engines.Docker(PARAMETERS, False).restart({"engine"}, container())
    assert any("--force-recreate engine" in line for line in log.read_text().splitlines())


def test_one_that_sees_its_gpus_is_not_forced(docker):
    log = docker(HAS)
    engines.Docker(PARAMETERS, False).restart({"engine"}, container())
    assert "--force-recreate" not in log.read_text()
