"""The table of stand-in packages: complete in itself, and the files it names exist."""

import re
from pathlib import Path

import pytest

from lab import kernels
from lab.nvidia import build, elf, tree

TABLE = build.read_tables("6.12.57+deb13-amd64")
PACKAGES = {name: row for source in TABLE.values() for name, row in source["packages"].items()}


@pytest.mark.parametrize("name", PACKAGES)
def test_exact_dependencies_are_in_the_table(name):
    exact = re.findall(r"(\S+) \(= @R@\)", PACKAGES[name].get("depends", ""))
    assert not set(exact) - set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_named_files_exist(name):
    row = PACKAGES[name]
    for line in row.get("files", []):
        assert (tree.FILES / line.split(" -> ")[0]).is_file()
    if "scripts" in row:
        assert list(tree.FILES.glob(f"{row['scripts']}.p*"))


def test_a_kernel_module_carries_its_modinfo():
    module = elf.kernel_module("nvidia", "580.173.02", "Dual MIT/GPL", ["pci:v000010DEd*"])
    assert module[:4] == b"\x7fELF"
    assert b"version=580.173.02\0" in module
    assert b"license=Dual MIT/GPL\0" in module
    assert b"alias=pci:v000010DEd*\0" in module


@pytest.mark.parametrize(
    ("running", "next_one"),
    [
        ("6.12.48+deb13-amd64", "6.12.49+deb13-amd64"),
        ("6.1.0-49-amd64", "6.1.0-50-amd64"),
        ("6.8.0-90-generic", "6.8.0-91-generic"),
        ("5.14.0-503.el9.x86_64", "5.14.0-504.el9.x86_64"),
        ("6.18.44-fc-v669", "6.18.45-fc-v669"),
        ("7.0", "7.0.1"),
    ],
)
def test_the_newer_kernel_is_named_as_the_next_update_would_be(running, next_one):
    assert kernels.following(running) == next_one


def test_a_branch_without_proprietary_modules_has_no_package_of_theirs():
    offered = {(name, version) for name, _, version in build.desired(TABLE["driver"])}
    newest = max(TABLE["driver"]["versions"], key=lambda version: int(version.split(".")[0]))
    assert ("nvidia-open", newest) in offered
    assert not offered & {("cuda-drivers", newest), ("nvidia-kernel-dkms", newest)}


def test_a_preferences_file_has_a_name_that_apt_reads(tmp_path, monkeypatch):
    retained = {}
    monkeypatch.setattr(tree.Tree, "pack", lambda self, directory: retained.update(
        {path.name: path.read_text() for path in (self.path / "etc/apt/preferences.d").iterdir()}
    ))  # fmt: skip
    build.pinning("580.95.05", "580.95.05-1", tmp_path, tmp_path)
    (name,) = retained
    assert re.fullmatch(r"[\w-]+", name)
    assert "Pin: version 580.95.05-*" in retained[name]


def test_a_library_is_compiled_once_and_knows_each_version(tmp_path, monkeypatch):
    calls = []

    def compile_(command, check):
        calls.append(command)
        Path(command[-2]).write_bytes(b"ELF" + tree.PLACEHOLDER + b"\0code")

    monkeypatch.setattr(tree.subprocess, "run", compile_)
    libraries = tree.Libraries(tmp_path)
    one, two = (libraries.content("libcuda", "1", version) for version in ("580.95.05", "620.10.01"))
    assert len(calls) == 1
    assert len(one) == len(two) and b"580.95.05\0" in one and b"620.10.01\0" in two
