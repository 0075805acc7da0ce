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


# What the preflight must say of each mistake: all of them are made at once, and one run names all.
MISTAKES = {
    "registry": ("registry", "deepgram_registry_password"),
    "link": ("no-such-model.dg",),
    "name": ("models.nowhere.invalid",),
    "GPU": ("15360", "40000"),
    "disk": ("/mnt/small",),
    "port": ("443", "python3"),
}


@pytest.fixture(scope="module")
def preflight(deployment, server, tmp_path_factory):
    """A run on a server with every mistake of MISTAKES."""
    links = ["https://models.lab.test/no-such-model.dg?signature=secret-part", "https://models.nowhere.invalid/a.dg"]
    variant = deployment.variant(
        tmp_path_factory.mktemp("mistakes") / "d",
        deepgram_registry_password="wrong",
        deepgram_models_links=links,
        deepgram_models_dir="/mnt/small",
        preflight_min_gpu_memory_mb=40000,
    )
    server.sh("mkdir -p /mnt/small && mount -t tmpfs -o size=64m tmpfs /mnt/small")
    server.sh("systemd-run --unit=squatter python3 -m http.server 443")
    run = variant.dgctl("provision", "--yes")
    server.sh("systemctl stop squatter; umount /mnt/small")
    return run


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_preflight_names_each_mistake(preflight, mistake):
    refused(preflight, 4, *MISTAKES[mistake])
    assert "secret-part" not in preflight.problems() + preflight.stderr


def test_the_preflight_goes_on_after_a_failed_check(deployment, tmp_path):
    variant = deployment.variant(tmp_path / "d", deepgram_registry_password="wrong")
    run = variant.dgctl("preflight")
    assert run.exit_code == 4
    assert len(run.failed_checks()) == 1, run.problems()
    assert any(check["verdict"] == "pass" for check in run.document["checks"])


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


def test_check_mode_on_the_blank_server(deployment):
    run = deployment.dgctl("provision", "--check", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
