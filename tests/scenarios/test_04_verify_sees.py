"""`verify` must not be green when something is broken: each fault is put in, named, and taken out by `provision`."""

import pytest


@pytest.fixture
def repaired_afterwards(deployment, server):
    yield
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr


def test_healthy_server_has_no_finding(deployment, server):
    run = deployment.dgctl("verify")
    assert run.exit_code == 0, run.problems()
    assert {check["host"] for check in run.document["checks"]} == {server.name}
    assert len(run.document["checks"]) >= 20
    for check in run.document["checks"]:
        assert set(check) == {"host", "check", "verdict", "seen", "expected", "fix"}


@pytest.mark.usefixtures("repaired_afterwards")
def test_gpu_hidden_from_the_engine_container(deployment, server):
    server.sh(
        "cd /etc/deepgram && python3 - <<'END'\n"
        "import re\n"
        "text = open('compose.yaml').read()\n"
        "hidden = re.sub(r'(?ms)^( *)deploy:\\n(?:\\1 +.*\\n)+', '', text)\n"
        "assert hidden != text\n"
        "open('compose.yaml', 'w').write(hidden)\n"
        "END\n"
        "sed -i 's/gpu_required = true/gpu_required = false/' engine/engine.toml\n"
        "docker compose up -d && sleep 5"
    )
    run = deployment.dgctl("verify")
    assert run.exit_code == 8
    assert any("gpu" in name and "container" in name for name in run.failed_checks()), run.failed_checks()


@pytest.mark.usefixtures("repaired_afterwards")
def test_engine_without_its_configuration(deployment, server):
    server.sh("cd /etc/deepgram && mv engine/engine.toml /root/ && docker compose restart -t 2 engine && sleep 8")
    run = deployment.dgctl("verify")
    assert run.exit_code == 8
    assert "default" in run.problems()


BROKEN = {
    "cdi": "mkdir -p /etc/cdi && sed 's/580\\.[0-9.]*/570.00.00/g' /var/run/cdi/nvidia.yaml > /etc/cdi/nvidia.yaml",
    "model": "rm $(ls -S /var/lib/deepgram/models/*.dg | tail -n 1)",
    "tls.running": "systemctl stop nginx",
}


@pytest.mark.usefixtures("repaired_afterwards")
def test_each_of_several_broken_things_is_named(deployment, server):
    """A stale CDI file, a model file that is gone, NGINX stopped."""
    for script in BROKEN.values():
        server.sh(script)
    run = deployment.dgctl("verify")
    assert run.exit_code == 8
    failed = " ".join(run.failed_checks())
    assert all(word in failed for word in BROKEN), failed


def test_unreachable_server_is_said_to_be_unreachable(deployment, server):
    # The connections that earlier runs left open, too.
    server.sh("systemctl stop ssh && { pkill sshd-session || true; }")
    try:
        run = deployment.dgctl("verify")
    finally:
        server.sh("systemctl start ssh")
    assert run.exit_code == 7
