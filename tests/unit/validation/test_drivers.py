"""The wanted driver against the tables, as far as the inventory alone tells."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dgctl.content import drivers
from tests.unit.validating import problems_with as problems


@pytest.fixture(autouse=True)
def here(checkout: Path, folder: Path) -> Path:
    return folder


def test_the_defaults_fit_every_gpu_of_the_table_that_has_one_driver() -> None:
    names = '["Tesla T4", "NVIDIA H100 80GB HBM3", "NVIDIA B200"]'
    assert problems(f"preflight_gpu_names: {names}") == []
    assert drivers.models(["Tesla T4", "none"], {})[0]["generation"] == "Turing"


def test_a_branch_that_nobody_knows_is_refused_with_the_nearest() -> None:
    (found,) = problems("nvidia_driver_branch: '585'")
    assert "585 is not in the table" in found.what and found.fix == 'set nvidia_driver_branch to "580"'
    assert found.where == "group_vars/all/main.yml:4" and found.value == "585"


def test_a_branch_without_the_kernel_module_is_refused() -> None:
    (found,) = problems("nvidia_driver_branch: '620'", "nvidia_driver_kernel_module: proprietary")
    assert "620 has no proprietary" in found.what and found.where == "group_vars/all/main.yml:5"


def test_named_gpus_that_no_driver_drives_together_are_refused() -> None:
    (found,) = problems('preflight_gpu_names: ["Tesla P40", "NVIDIA B200"]')
    assert "take one kind" in found.fix and "Tesla P40" in found.what and "B200" in found.what


def test_named_gpus_that_the_branch_does_not_drive_are_refused() -> None:
    (found,) = problems('preflight_gpu_names: ["Tesla V100-PCIE-16GB"]', "nvidia_driver_branch: '595'")
    assert "does not drive Tesla V100-PCIE-16GB" in found.what and '"580"' in found.fix


def test_named_gpus_of_a_generation_that_580_drives_last() -> None:
    assert problems('preflight_gpu_names: ["Tesla V100-PCIE-16GB", "Tesla T4"]') == []


def test_gpus_of_the_user_s_own_table_count() -> None:
    extra = 'preflight_gpus_extra: {"10de:1234": {name: Old, memory_mib: 16000, compute_capability: "7.0"}}'
    (found,) = problems(extra, "preflight_gpu_names: [Old]", "nvidia_driver_kernel_module: open")
    assert "does not drive Old" in found.what and "auto or proprietary" in found.fix


def test_a_branch_past_its_end_is_not_refused() -> None:
    path = Path("inventory.ini")
    path.write_text(path.read_text().replace("release-260812", "release-260714"))
    assert problems("nvidia_driver_branch: '570'") == []


def test_content_without_tables_says_nothing(root: Path) -> None:
    shutil.rmtree(root / "roles/platform")
    drivers.tables.cache_clear()
    assert drivers.rules() is None and problems("nvidia_driver_branch: '585'") == []
