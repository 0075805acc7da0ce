"""The table of stand-in packages: complete in itself, and the files it names exist."""

import re
import tomllib

import pytest

from lab.nvidia import build, elf

TABLE = tomllib.loads((build.HERE / "packages.toml").read_text())
PACKAGES = {name: row for source in TABLE.values() for name, row in source["packages"].items()}


@pytest.mark.parametrize("name", PACKAGES)
def test_exact_dependencies_are_in_the_table(name):
    exact = re.findall(r"(\S+) \(= @R@\)", PACKAGES[name].get("depends", ""))
    assert not set(exact) - set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_named_files_exist(name):
    row = PACKAGES[name]
    for line in row.get("files", []):
        assert (build.FILES / line.split(" -> ")[0]).is_file()
    if "scripts" in row:
        assert list(build.FILES.glob(f"{row['scripts']}.p*"))


def test_a_kernel_module_carries_its_modinfo():
    module = elf.kernel_module("nvidia", "580.173.02", "Dual MIT/GPL", ["pci:v000010DEd*"])
    assert module[:4] == b"\x7fELF"
    assert b"version=580.173.02\0" in module
    assert b"license=Dual MIT/GPL\0" in module
    assert b"alias=pci:v000010DEd*\0" in module
