"""GPUs and boards: the driver that fits each, Fabric Manager where NVSwitches join them, MIG undone, what cannot work refused.

One server after another, each with other GPUs, of which `bin/test` takes one. boards.py names what is applied here, for the
page of GPUs.
"""

from collections.abc import Callable

import pytest

from tests.scenarios.support.boards import APPLIED
from tests.scenarios.support.rack import Rack
from tests.scenarios.support.servers import Deployment, Run, Server
from tests.scenarios.support.stories import with_all

UNIT = "nvidia-fabricmanager.service"
OLDER, NEWER = "580.95.05", "580.173.02"


class Board:
    """A server with these GPUs, and its deployment."""

    def __init__(self, deployment: Deployment, server: Server):
        self.deployment, self.server = deployment, server

    def provision(self, folder, **variables) -> Run:
        """Provisions with these settings beside the deployment's own; it must succeed."""
        run = self.variant(folder, **variables).dgctl("provision", "--yes")
        assert run.exit_code == 0, run.problems() + run.stderr
        return run

    def variant(self, folder, **variables) -> Deployment:
        return self.deployment.variant(folder / f"variant-{len(list(folder.iterdir()))}", **variables)

    def loaded(self) -> tuple[str, str]:
        """(version, flavour) of the module in the kernel."""
        reported = self.server.sh("cat /sys/module/nvidia/version; head -1 /proc/driver/nvidia/version")
        return reported.split()[0], "open" if "Open Kernel Module" in reported else "proprietary"

    def fabric(self) -> tuple[str, str, set[str]]:
        """(unit's state, version of Fabric Manager, what nvidia-smi says of the GPUs)."""
        reported = self.server.sh(
            f"systemctl is-active {UNIT}; nv-fabricmanager --version; "
            "nvidia-smi --query-gpu=fabric.state,fabric.status --format=csv,noheader"
        ).splitlines()
        return reported[0], reported[1].split()[5], set(reported[2:])


@pytest.fixture
def boards(rack: Rack) -> Callable[[str], Board]:
    """boards(gpu): the server with these GPUs; the one before goes."""
    return lambda gpu: Board(*rack.blank_server_with(gpu))


JOINED = {"Completed, Success"}


@with_all
def test_board_with_switches_gets_fabric_manager(boards, tmp_path):
    board = boards("hgx-h100")
    run = board.provision(tmp_path, nvidia_driver_version=OLDER)
    passed = {check["check"] for check in run.document["checks"] if check["verdict"] == "pass"}
    assert {"fabric.manager_runs", "fabric.manager_matches_driver", "fabric.gpus_joined"} <= passed
    assert board.fabric() == ("active", OLDER, JOINED)
    assert board.loaded()[1] == APPLIED["10de:2330", "580"]
    held = board.server.sh("apt-mark showhold").split()
    assert {"nvidia-fabricmanager", "libnvidia-nscq", "nvidia-open"} <= set(held)
    # A second run finds nothing to do.
    again = board.variant(tmp_path, nvidia_driver_version=OLDER).dgctl("provision", "--yes")
    assert again.document["hosts"][board.server.name]["changed"] == 0


@with_all
def test_another_driver_takes_fabric_manager_along(boards, tmp_path):
    board = boards("hgx-h100")
    board.provision(tmp_path, nvidia_driver_version=NEWER)
    assert board.fabric() == ("active", NEWER, JOINED) and board.loaded()[0] == NEWER


@with_all
@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (f"apt-get install -y --allow-downgrades --allow-change-held-packages nvidia-fabricmanager={OLDER}-1 && "
         f"systemctl restart {UNIT} || true", "fabric.manager_matches_driver"),
        ("apt-get remove -y --allow-change-held-packages nvidia-fabricmanager", "fabric.manager_runs"),
        (f"systemctl disable --now {UNIT}", "fabric.gpus_joined"),
    ],
    ids=["another version", "removed", "stopped"],
)  # fmt: skip
def test_fabric_manager_is_put_right(boards, tmp_path, fault, check):
    board = boards("hgx-h100")
    desired = board.variant(tmp_path, nvidia_driver_version=NEWER)
    board.server.sh(fault)
    assert check in desired.dgctl("verify").failed_checks()
    run = desired.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert board.fabric() == ("active", NEWER, JOINED)
    assert board.server.sh(f"systemctl is-enabled {UNIT}").strip() == "enabled"


@with_all
def test_board_whose_gpus_tell_no_state_is_proved_by_its_manager(boards, tmp_path):
    board = boards("hgx-a100")
    run = board.provision(tmp_path)
    passed = {check["check"] for check in run.document["checks"] if check["verdict"] == "pass"}
    assert {"fabric.manager_runs", "fabric.manager_matches_driver", "fabric.gpus_joined"} <= passed
    assert board.fabric()[0] == "active" and board.loaded()[1] == APPLIED["10de:20b2", "580"]


@with_all
def test_board_of_blackwell_gets_the_open_module_and_the_subnet_manager(boards, tmp_path):
    board = boards("hgx-b200")
    refused = board.variant(tmp_path, nvidia_driver_kernel_module="proprietary").dgctl("preflight")
    assert refused.exit_code == 4 and "driver for these GPUs" in refused.failed_checks(), refused.problems()
    assert "auto or open" in refused.problems()
    board.provision(tmp_path)
    assert board.loaded()[1] == APPLIED["10de:2901", "580"] and board.fabric()[2] == JOINED
    assert "nvlsm" in board.server.sh("ps -e -o args; dpkg -l nvlsm libnvsdm")


@with_all
def test_two_kinds_of_gpus_get_what_drives_both(boards, tmp_path):
    board = boards("v100,t4")
    refused = board.variant(tmp_path, nvidia_driver_branch="595").dgctl("provision", "--yes")
    assert refused.exit_code == 4 and "V100" in refused.problems() and '"580"' in refused.problems().replace("\\", "")
    assert APPLIED["10de:1db4", "595"] == "refused" and not board.server.has("/etc/modprobe.d/nvidia-driver.conf")
    open_only = board.variant(tmp_path, nvidia_driver_kernel_module="open").dgctl("preflight")
    assert open_only.exit_code == 4 and "auto or proprietary" in open_only.problems()
    board.provision(tmp_path)
    assert board.loaded()[1] == APPLIED["10de:1db4", "580"]
    assert len(board.server.sh("nvidia-smi -L").splitlines()) == 2


@with_all
def test_the_deep_look_says_what_nvidia_s_own_diagnosis_finds(boards, tmp_path):
    board = boards("a100-40")
    board.provision(tmp_path, nvidia_driver_dcgm=True)
    run = board.deployment.dgctl("doctor", "--deep")
    assert run.exit_code == 0 and verdicts(run)["dcgm diagnosis"] == "pass", run.problems()
    assert "dcgm diagnosis" not in verdicts(board.deployment.dgctl("doctor"))
    board.server.fault("retirement-pending")
    try:
        run = board.deployment.dgctl("doctor", "--deep")
    finally:
        board.server.heal("retirement-pending")
    found = next(check for check in run.document["checks"] if check["check"] == "dcgm: Page Retirement/Row Remap")
    assert run.exit_code == 8 and "GPU 0: " in found["seen"] and "nvidia-smi --gpu-reset -i 0" in found["fix"], found
    assert board.deployment.dgctl("doctor", "--deep").exit_code == 0


def verdicts(run: Run) -> dict[str, str]:
    return {check["check"]: check["verdict"] for check in run.document["checks"]}


@with_all
def test_mig_is_refused_and_undone_where_that_is_allowed(boards, tmp_path):
    board = boards("a100-40")
    board.provision(tmp_path, nvidia_driver_dcgm=True)
    assert board.server.sh("systemctl is-active nvidia-dcgm").strip() == "active"
    board.server.sh(
        "cd /etc/deepgram && docker compose stop; systemctl stop nvidia-dcgm nvidia-persistenced; nvidia-smi -mig 1"
    )
    assert "Enabled" in board.server.sh("nvidia-smi --query-gpu=mig.mode.current --format=csv,noheader")
    refused = board.variant(tmp_path).dgctl("provision", "--yes", "--full")
    assert refused.exit_code == 4 and "mig" in refused.failed_checks(), refused.problems()
    board.provision(tmp_path, nvidia_driver_mig_disable_allowed=True, nvidia_driver_dcgm=True)
    assert "Disabled" in board.server.sh("nvidia-smi --query-gpu=mig.mode.current --format=csv,noheader")


@with_all
def test_the_module_s_flavour_changes_both_ways(boards, tmp_path):
    board = boards("a100-40")
    for flavour, package in (("proprietary", "cuda-drivers"), ("auto", "nvidia-open")):
        board.provision(tmp_path, nvidia_driver_kernel_module=flavour)
        assert board.loaded()[1] == {"auto": APPLIED["10de:20f1", "580"]}.get(flavour, flavour)
        assert package in board.server.sh("apt-mark showhold").split()
