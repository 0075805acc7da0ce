"""What is wrong is said before anything is changed: each with what, where, value, fix, and its exit code."""

import subprocess

import pytest

NOTHING_THERE = "test ! -e /etc/deepgram && ! command -v nginx && ! command -v docker && echo blank"

# Not the connection that an earlier run left open: it would not be asked for a key again.
NEW_CONNECTION = {"ansible_control_path": "none"}


@pytest.fixture(autouse=True)
def nothing_was_changed(server):
    yield
    assert server.sh(NOTHING_THERE).strip() == "blank"


def refused(run, exit_code, *words):
    assert run.exit_code == exit_code, run.problems() + run.stderr
    for word in words:
        assert word in run.problems(), (word, run.problems())
    failing = [c for c in run.document.get("checks", []) if c["verdict"] == "fail"]
    for problem in run.document["errors"] or failing:
        assert problem["fix"], problem
    assert "Traceback" not in run.stderr


def test_wrong_registry_password(deployment, tmp_path):
    run = deployment.variant(tmp_path / "d", deepgram_registry_password="wrong").dgctl("provision", "--yes")
    refused(run, 4, "registry", "deepgram_registry_password")


def test_model_link_that_does_not_exist(deployment, tmp_path):
    links = ["https://models.lab.test/no-such-model.dg?signature=secret-part"]
    run = deployment.variant(tmp_path / "d", deepgram_models_links=links).dgctl("provision", "--yes")
    refused(run, 4, "no-such-model.dg")
    assert "secret-part" not in run.problems() + run.stderr


def test_model_server_that_does_not_resolve(deployment, tmp_path):
    links = ["https://models.nowhere.invalid/a.dg"]
    run = deployment.variant(tmp_path / "d", deepgram_models_links=links).dgctl("provision", "--yes")
    refused(run, 4, "models.nowhere.invalid")


def test_gpu_too_small(deployment, tmp_path):
    run = deployment.variant(tmp_path / "d", preflight_min_gpu_memory_mb=40000).dgctl("provision", "--yes")
    refused(run, 4, "15360", "40000")


def test_too_little_disk(deployment, server, tmp_path):
    server.sh("mkdir -p /mnt/small && mount -t tmpfs -o size=64m tmpfs /mnt/small")
    run = deployment.variant(tmp_path / "d", deepgram_models_dir="/mnt/small").dgctl("provision", "--yes")
    server.sh("umount /mnt/small")
    refused(run, 4, "/mnt/small")


def test_port_taken(deployment, server, tmp_path):
    server.sh("systemd-run --unit=squatter python3 -m http.server 443")
    run = deployment.dgctl("provision", "--yes")
    server.sh("systemctl stop squatter")
    refused(run, 4, "443", "python3")


def test_ssh_key_refused(deployment, tmp_path):
    key = tmp_path / "other-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    variant = deployment.variant(tmp_path / "d", ansible_ssh_private_key_file=str(key), **NEW_CONNECTION)
    run = variant.dgctl("provision", "--yes")
    refused(run, 7, "ermission denied")


def test_server_that_does_not_answer(deployment, tmp_path):
    variant = deployment.variant(tmp_path / "d")
    text = variant.inventory.read_text()
    address = next(word for word in text.split() if word.startswith("ansible_host="))
    variant.inventory.write_text(text.replace(address, "ansible_host=127.0.0.1 ansible_port=9"))
    refused(variant.dgctl("provision", "--yes"), 7)


def test_unknown_ssh_host_key(deployment, tmp_path):
    (tmp_path / "known_hosts").write_text("")
    arguments = f"-o UserKnownHostsFile={tmp_path}/known_hosts"
    variant = deployment.variant(tmp_path / "d", ansible_ssh_common_args=arguments, **NEW_CONNECTION)
    run = variant.dgctl("provision", "--yes")
    refused(run, 7, "ost key")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"deepgram_relase": "release-260812"}, "deepgram_release"),
        ({"ansible_hots": "192.0.2.1"}, "ansible_host"),
        ({"deepgram_engine_max_active_requests": "many"}, "many"),
        ({"deepgram_api_key": ""}, "deepgram_api_key"),
    ],
)
def test_variables_that_are_wrong(deployment, tmp_path, change, word):
    run = deployment.variant(tmp_path / "d", **change).dgctl("provision", "--yes")
    refused(run, 3, word, "zz_changed.yml:1")


def test_group_name_that_is_nearly_right(deployment, tmp_path):
    variant = deployment.variant(tmp_path / "d")
    variant.inventory.write_text(variant.inventory.read_text().replace("[node]", "[nodes]"))
    refused(variant.dgctl("provision", "--yes"), 3, "[node]")


def test_all_findings_at_once(deployment, tmp_path):
    variant = deployment.variant(tmp_path / "d", preflight_min_gpu_memory_mb=40000, deepgram_registry_password="wrong")
    run = variant.dgctl("preflight")
    assert run.exit_code == 4
    assert len(run.failed_checks()) >= 2, run.problems()
    assert any(check["verdict"] == "pass" for check in run.document["checks"])


def test_check_mode_on_the_blank_server(deployment):
    run = deployment.dgctl("provision", "--check", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
