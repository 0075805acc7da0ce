"""GPUs that NVSwitches join: Fabric Manager runs at the driver's version, and every GPU is in the fabric."""

import pytest

from dgctl.verify import fabric
from dgctl.verify.expect import NO_CONCERN

GROUPS = ("engine",)
LOOK = "systemctl status nvidia-fabricmanager; tail /var/log/fabricmanager.log"


@pytest.fixture(scope="module")
def board(driver):
    found = fabric.read(driver["fabric"].lines)
    if not found.board:
        pytest.skip(NO_CONCERN)
    return found


def test_manager_runs(board, expect):
    expect(board.unit, "active", f"dgctl provision; {LOOK}")


def test_manager_matches_driver(board, driver, expect):
    """Of another version it refuses the driver, and CUDA says "system not yet initialized"."""
    loaded = driver["loaded"].text
    expect(board.version, loaded, "dgctl provision", ok=bool(loaded) and board.version == loaded)


def test_gpus_joined(board, seen_gpus, expect):
    outside = board.outside()
    joined = len(board.states) == seen_gpus > 0 and not outside
    seen = outside or f"{len(board.states)} of {seen_gpus} GPUs of {board.board}"
    expect(seen, "every GPU in the fabric: Completed, Success", LOOK, ok=joined)


@pytest.fixture(scope="module")
def seen_gpus(driver):
    return len(driver["smi"].lines)
