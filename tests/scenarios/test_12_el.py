"""An Enterprise Linux 9: packages by dnf, streams, versionlock; provisioned, verified, in sync at the second look."""

import pytest

from lab.machine import OLD_PYTHON
from lab.servers import has_old_python
from lab.systems import SYSTEMS
from tests.scenarios.support.one_server import one_server
from tests.scenarios.support.servers import PROJECT, lab_down, lab_up
from tests.scenarios.support.stories import with_all

NAME = "storyel"
EXPECTED = {"nvidia-open", "kmod-nvidia-open-dkms", "libnvidia-ml", "nvidia-persistenced", "nvidia-container-toolkit"}

lab, deployment, server = one_server(NAME, "el", "--system=el9")


def test_there_is_dnf_and_nothing_of_apt(server):
    assert server.sh("command -v apt-get dpkg || true") == "" and "dnf" in server.sh("command -v dnf")


def test_modules_and_looks_run_on_the_python_of_an_el_9(deployment, server):
    if not has_old_python(SYSTEMS["el9"]):
        pytest.skip("this machine names no mirror of Debian's to take Python 3.9 from")
    assert deployment.python_of_modules() == OLD_PYTHON
    assert server.sh("python3 --version").startswith(f"Python {OLD_PYTHON}.")


@with_all
def test_check_mode_passes_on_a_blank_host(deployment):
    run = deployment.dgctl("provision", "--yes", "--check")
    assert run.exit_code == 0, run.problems() + run.stderr


def test_provision_and_verify(deployment, server):
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert "580" in server.sh("nvidia-smi --query-gpu=driver_version --format=csv,noheader")
    again = deployment.dgctl("verify")
    assert again.exit_code == 0, again.problems() + again.stderr


def test_the_branch_s_stream_is_enabled_and_the_driver_locked_at_what_is_there(server):
    assert "stream=580-open" in server.sh("cat /etc/dnf/modules.d/nvidia-driver.module")
    locked = server.sh("grep -v '^#' /etc/dnf/plugins/versionlock.list").split()
    names = {line.rsplit("-", 2)[0] for line in locked}
    assert names >= EXPECTED
    for line in locked:
        name, version = line.rsplit("-", 2)[0], line.removesuffix(".*")
        there = server.sh(f"rpm -q --qf '%{{NAME}}-%|EPOCH?{{%{{EPOCH}}}}:{{0}}|:%{{VERSION}}-%{{RELEASE}}' {name}")
        assert there == version


def test_an_upgrade_leaves_the_driver_alone(server):
    server.sh("dnf -y module reset nvidia-driver && dnf -y module enable nvidia-driver:open-dkms")
    server.sh("dnf -y upgrade")
    assert "580" in server.sh("rpm -q --qf '%{VERSION}' nvidia-open")
    server.sh("dnf -y module reset nvidia-driver && dnf -y module enable nvidia-driver:580-open")


@with_all
def test_the_second_run_changes_nothing(deployment):
    assert deployment.dgctl("plan").exit_code == 0
    run = deployment.dgctl("provision", "--yes", "--full")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert {host["changed"] for host in run.document["hosts"].values()} == {0}


@with_all
def test_a_lock_that_a_hand_took_away_is_drift_and_comes_back(deployment, server):
    server.sh("sed -i /nvidia-open/d /etc/dnf/plugins/versionlock.list")
    plan = deployment.dgctl("plan")
    assert plan.exit_code == 10 and "nvidia-open" in str(plan.document), plan.stderr
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert "nvidia-open-3:580" in server.sh("cat /etc/dnf/plugins/versionlock.list")


@with_all
@pytest.mark.parametrize(
    ("wish", "version", "stream"),
    [
        ({"nvidia_driver_branch": "595"}, "595.91.07", "595-open"),
        ({"nvidia_driver_version": "580.95.05"}, "580.95.05", "580-open"),
    ],
    ids=["another branch", "an older version"],
)
def test_the_driver_moves_with_its_family_stream_and_locks(deployment, server, tmp_path, wish, version, stream):
    run = deployment.variant(tmp_path / "changed", **wish).dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    packages = "nvidia-open kmod-nvidia-open-dkms nvidia-driver-cuda libnvidia-ml nvidia-persistenced"
    assert set(server.sh(f"rpm -q --qf '%{{VERSION}}\\n' {packages}").split()) == {version}
    assert server.sh("cat /sys/module/nvidia/version").strip() == version
    assert f"stream={stream}" in server.sh("cat /etc/dnf/modules.d/nvidia-driver.module")
    assert f"nvidia-open-3:{version}-" in server.sh("cat /etc/dnf/plugins/versionlock.list")


OTHER = """[other]
name=Somebody else's
baseurl=https://apt.lab.test/./nvidia/rhel9/x86_64
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-nvidia-driver
module_hotfixes=1
"""
WELCOME = "server { listen 80; listen [::]:80; server_name _; root /usr/share/nginx/html; }"


@with_all
def test_a_driver_of_two_repositories_is_named_and_put_right(deployment, server):
    """The other repository has the same packages under another address, so that dnf tells them apart."""
    server.sh(f"cat > /etc/yum.repos.d/other.repo <<'END'\n{OTHER}END\ndnf -q makecache")
    try:
        assert deployment.dgctl("doctor").exit_code == 0, "a lock keeps dnf from it"
        server.sh("sed -i /nvidia/d /etc/dnf/plugins/versionlock.list")
        found = sources(deployment)
        assert "dnf would take" in found["seen"] and "excludepkgs=" in found["fix"], found
        server.sh("rpm -e --nodeps nvidia-modprobe && dnf -qy --repo=other install nvidia-modprobe-595.91.07")
        found = sources(deployment)
        assert found["seen"].startswith("nvidia-modprobe from other") and "dnf remove nvidia-modprobe" in found["fix"]
        run = deployment.dgctl("provision", "--yes")
        assert run.exit_code == 0, run.problems() + run.stderr
        assert deployment.dgctl("doctor").exit_code == 0
        assert server.sh("rpm -q --qf '%{VERSION}' nvidia-modprobe").startswith("580.")
    finally:
        server.sh("rm -f /etc/yum.repos.d/other.repo")


def sources(deployment):
    run = deployment.dgctl("doctor")
    assert {"driver sources", "holds"} <= run.failed_checks(), run.problems()
    return next(check for check in run.document["checks"] if check["check"] == "driver sources")


@with_all
def test_the_main_file_of_nginx_is_put_right(deployment, server):
    before = server.sh("cat /etc/nginx/nginx.conf")
    assert "worker_connections 8192;" in before and "deepgram-main.conf" in before and "listen" not in before
    server.sh(
        "sed -i -e 's/worker_connections 8192/worker_connections 1024/' -e '/Added by Ansible/,$d' "
        f"-e 's#^    include /etc/nginx/conf.d.*#&\\n    {WELCOME}#' /etc/nginx/nginx.conf && nginx -s reload"
    )
    assert server.sh("cat /etc/nginx/nginx.conf").count("listen 80") == 1
    plan = deployment.dgctl("plan")
    assert plan.exit_code == 10 and "nginx.conf" in str(plan.document), plan.stderr
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert server.sh("cat /etc/nginx/nginx.conf").split() == before.split()


@with_all
def test_podman():
    name = NAME + "podman"
    lab_down(NAME)
    lab_down(name)
    deployment, _servers = lab_up(name, PROJECT / ".cache/scenarios/el-podman", "--system=el9", "--engine=podman")
    try:
        run = deployment.dgctl("provision", "--yes")
        assert run.exit_code == 0, run.problems() + run.stderr
        assert deployment.dgctl("plan").exit_code == 0
    finally:
        lab_down(name)
