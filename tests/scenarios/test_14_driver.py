"""The driver's life: the next boot finds it, what would be in its way is refused before harm, and it is upgraded under calls.

The first tests have one server, the workshop's; the fleet is for `bin/test --all`.
"""

import pytest

from tests.scenarios.support import fleet as fleets
from tests.scenarios.support.servers import PROJECT, lab_down, lab_up
from tests.scenarios.support.stories import with_all

pytestmark = with_all
OLDER, NEWER = "580.95.05", "580.173.02"
CUDA = "/etc/apt/sources.list.d/cuda-debian13-x86_64.list"


@pytest.fixture
def deployment(workshop):
    return workshop[0]


@pytest.fixture
def server(workshop):
    return workshop[1]


def provisioned(deployment, *options):
    run = deployment.dgctl("provision", "--yes", *options)
    assert run.exit_code == 0, run.problems() + run.stderr
    return run


def state(server):
    """What a refused run must leave as it was."""
    return server.sh(
        "dpkg -l; docker inspect -f '{{.Id}} {{.State.StartedAt}}' deepgram-engine; cat /sys/module/nvidia/version"
    )


def test_provisioned(deployment):
    provisioned(deployment)
    assert deployment.dgctl("plan").exit_code == 0


def test_the_driver_is_upgraded_and_the_containers_are_recreated(deployment, server, tmp_path):
    older = deployment.variant(tmp_path / "older", nvidia_driver_version=OLDER)
    provisioned(older)
    before = made(server)
    run = older.dgctl("upgrade", "--driver=580", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert server.sh("cat /sys/module/nvidia/version").strip() == NEWER and made(server) != before
    assert OLDER not in server.sh("docker diff deepgram-engine"), "libraries of the driver before"
    provisioned(deployment)


def test_a_module_is_built_for_the_kernel_that_boots_next(deployment, server):
    server.fault("module-missing-next-kernel")
    try:
        plan = deployment.dgctl("plan")
        assert plan.exit_code == 10 and "boots next and has no NVIDIA module" in str(plan.document["hosts"])
        provisioned(deployment)
        newest = server.sh("ls /lib/modules | sort -V | tail -1").strip()
        version = server.sh("cat /sys/module/nvidia/version").strip()
        assert newest != server.sh("uname -r").strip()
        assert server.sh(f"modinfo -k {newest} -F version nvidia").strip() == version
    finally:
        server.heal("module-missing-next-kernel")
    assert deployment.dgctl("plan").exit_code == 0, "headers of a kernel that is gone are missed by nobody"


def test_secure_boot_without_the_key_is_refused_before_harm(deployment, server):
    server.fault("module-key-rejected")
    try:
        before = server.sh("dpkg -l")
        run = deployment.dgctl("provision", "--yes")
        assert run.exit_code == 4 and run.failed_checks() == {"secure boot"}, run.problems()
        for way in ("mokutil --import", "nvidia_driver_source: distribution"):
            assert way in run.problems()
        assert server.sh("dpkg -l") == before
    finally:
        server.heal("module-key-rejected")
    provisioned(deployment)


def test_another_driver_s_leftovers_are_refused_and_go_only_where_that_is_allowed(deployment, server, tmp_path):
    server.fault("two-sources")
    url = deployment.variables()["nvidia_driver_repository_url"]
    server.sh(f"echo 'deb [signed-by=/usr/share/keyrings/dgctl-lab.asc] {url} /' > {CUDA}")
    before = state(server)
    run = deployment.dgctl("provision", "--yes", "--full")
    assert run.exit_code == 4 and run.failed_checks() == {"driver sources"}, run.problems()
    assert CUDA in run.problems() and "nvidia-settings" in run.problems() and state(server) == before
    allowed = deployment.variant(tmp_path / "d", nvidia_driver_remove_other_sources=True)
    provisioned(allowed)
    assert server.sh("dpkg-query -W -f '${db:Status-Status}' nvidia-settings || true") in ("", "not-installed")
    assert server.sh(f"apt-get update -q; grep -c '^deb' {CUDA} || true").splitlines()[-1] == "0"
    server.sh(f"rm {CUDA}")
    server.heal("two-sources")
    provisioned(deployment)


def test_holds_and_unattended_upgrades(server):
    family = server.sh(
        "dpkg-query -W -f '${Version} ${Package}\\n' | grep -F \"$(cat /sys/module/nvidia/version)-\""
    ).split()[1::2]
    assert set(family) <= set(server.sh("apt-mark showhold").split()) and len(family) > 8
    blocked = server.sh("apt-config dump Unattended-Upgrade::Package-Blacklist")
    assert '"nvidia-"' in blocked and '"libnvidia-"' in blocked


def test_daemon_reload_takes_no_gpu_away(server):
    before = server.sh("docker exec deepgram-engine nvidia-smi -L")
    server.sh("systemctl daemon-reload")
    assert server.sh("docker exec deepgram-engine nvidia-smi -L") == before and "GPU 0" in before


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    name = "fleetdriver"
    lab_down(name)
    deployment, _ = lab_up(name, PROJECT / ".cache/scenarios/fleet-driver", "--nodes=2", "--proxies=1")
    made = fleets.Fleet(name, deployment, tmp_path_factory.mktemp("load"))
    made.change(deepgram_engine_max_active_requests=40, nvidia_driver_version=OLDER)
    provisioned(deployment)
    yield made
    lab_down(name)


def loaded(fleet):
    return {node.sh("cat /sys/module/nvidia/version").strip() for node in fleet.nodes}


def test_a_driver_that_no_server_can_have_is_refused_and_nothing_is_written(fleet):
    before = fleet.deployment.inventory.read_text()
    run = fleet.deployment.dgctl("upgrade", "--driver=580.1.1", "--yes")
    assert run.exit_code == 4 and NEWER in run.problems(), run.problems()
    run = fleet.deployment.dgctl("upgrade", "--driver=550", "--yes")
    assert run.exit_code == 3 and "needs driver" in run.problems(), run.problems()
    assert fleet.deployment.inventory.read_text() == before and loaded(fleet) == {OLDER}


def test_the_driver_is_upgraded_under_calls_and_its_containers_are_new(fleet):
    before = {node.name: made(node) for node in fleet.nodes}
    with fleet.calls_that_lose_nothing():
        fleet.carried_out("upgrade", "--driver=580", "--yes", ctrl_c="Finish requests", kill="NVIDIA driver")
    assert loaded(fleet) == {NEWER}
    for node in fleet.nodes:
        assert made(node) != before[node.name]
        assert OLDER not in node.sh("docker diff deepgram-engine"), "libraries of the driver before"
        assert "nvidia-open" in node.sh("apt-mark showhold").split()
    assert fleet.deployment.dgctl("plan").exit_code == 0


def made(node):
    return node.sh("docker inspect -f '{{.Id}}' deepgram-engine")
