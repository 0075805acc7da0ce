"""Builds the stand-in packages and the signed repositories; runs in the services image, where the tools are.

python3 -m lab.nvidia.build OUT GNUPG_HOME FINGERPRINT
"""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from lab.nvidia import elf

HERE = Path(__file__).parent
FILES = HERE / "files"
MODULES = ["nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm"]
DRIVEN = "pci:v000010DEd*sv*sd*bc03sc0[02]i00*"
PINNED = "nvidia-* libnvidia-* libcuda1 cuda-drivers firmware-nvidia-gsp"


def build_source(table: dict, out: Path) -> None:
    """Every package of one source in every version, into the source's repository."""
    directory = out / table["repository"]
    directory.mkdir(parents=True, exist_ok=True)
    for version in table["versions"]:
        epoch = f"{table['epoch']}:" if "epoch" in table else ""
        revision = f"{epoch}{version}-{table['revision']}"
        for name, package in table["packages"].items():
            tree = start_tree(out, name, revision, package, version)
            fill_tree(tree, package, version)
            pack(tree, directory)


def start_tree(out: Path, name: str, revision: str, package: dict, version: str) -> Path:
    """A directory with the package's control file."""
    tree = out / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "DEBIAN").mkdir(parents=True)
    fields = {
        "Package": name,
        "Version": revision,
        "Architecture": "amd64",
        "Maintainer": "dgctl lab <lab@lab.test>",
        "Section": "lab",
        "Priority": "optional",
    }
    for field in ("depends", "conflicts", "provides"):
        if field in package:
            fields[field.title()] = fill(package[field], version, revision)
    fields["Description"] = f"{package['about']} (simulated)\n Stand-in of the dgctl lab: drives no hardware."
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    return tree


def fill(text: str, version: str, revision: str = "") -> str:
    return text.replace("@V@", version).replace("@R@", revision)


def fill_tree(tree: Path, package: dict, version: str) -> None:
    """Plain files, maintainer scripts, shared objects and kernel modules, as the package's row asks."""
    for line in package.get("files", []):
        source, target = line.split(" -> ")
        copy(FILES / source, tree / fill(target, version), version)
    if "program" in package:
        name, target = package["program"].split(" -> ")
        program(name, tree / target)
    if "scripts" in package:
        for script in FILES.glob(f"{package['scripts']}.p*"):
            copy(script, tree / "DEBIAN" / script.suffix[1:], version, 0o755)
    if "library" in package:
        library(tree, package["library"], package.get("soname", "1"), version)
    for module in MODULES if "modules" in package else []:
        path = tree / f"usr/src/nvidia-{version}" / f"{module}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        alias = [DRIVEN] if module == "nvidia" else []
        path.write_bytes(elf.kernel_module(module.replace("-", "_"), version, package["modules"], alias))


def copy(source: Path, target: Path, version: str, mode: int | None = None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(fill(source.read_text(), version))
    target.chmod(mode or (0o755 if os.access(source, os.X_OK) else 0o644))


def program(name: str, target: Path) -> None:
    """One executable file of a package in programs/, so that CDI can hand it to containers."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        stream.write(b"#!/usr/bin/python3\n# Simulated: dgctl lab\n")
    with zipfile.ZipFile(target, "a") as archive:
        start = f"from {name}.main import main\nmain()\n"
        archive.writestr(zipfile.ZipInfo("__main__.py"), start)
        for path in sorted((HERE / "programs" / name).glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"{name}/{path.name}"), path.read_bytes())
    target.chmod(0o755)


def library(tree: Path, name: str, soname: str, version: str) -> None:
    """A shared object that loads, knows its version, and as libcuda finds a device when the node is there."""
    directory = tree / "usr/lib/x86_64-linux-gnu"
    directory.mkdir(parents=True)
    full = f"{name}.so.{version}" if name != "libnvidia-container" else f"{name}.so.{soname}.{version}"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-Os", "-s", f"-Wl,-soname,{name}.so.{soname}", f'-DVERSION="{version}"',
         "-o", str(directory / full), str(HERE / "library.c")],
        check=True,
    )  # fmt: skip
    (directory / f"{name}.so.{soname}").symlink_to(full)


def pinning(version_pattern: str, package_version: str, out: Path, directory: Path) -> None:
    """nvidia-driver-pinning-PATTERN: nothing but a preferences file that keeps the driver on a branch or version."""
    name = f"nvidia-driver-pinning-{version_pattern}"
    row = {
        "about": f"keeps the NVIDIA driver at {version_pattern}",
        "conflicts": "nvidia-driver-pinning",
        "provides": "nvidia-driver-pinning",
    }
    tree = start_tree(out, name, package_version, row, version_pattern)
    path = tree / "etc/apt/preferences.d" / name
    path.parent.mkdir(parents=True)
    # A branch's pattern wants the dot, or 58* would count; a full version is followed by its revision.
    pattern = f"{version_pattern}-*" if "." in version_pattern else f"{version_pattern}.*"
    path.write_text(f"# Simulated\nPackage: {PINNED}\nPin: version {pattern}\nPin-Priority: 1000\n")
    pack(tree, directory)


def pack(tree: Path, directory: Path) -> None:
    """The same bytes for the same content, whenever it is built."""
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(directory)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    shutil.rmtree(tree)


def index_and_sign(directory: Path, label: str, gnupg: str, fingerprint: str) -> None:
    """A flat repository's Packages, Release and InRelease."""
    index = subprocess.run(["apt-ftparchive", "packages", "."], cwd=directory, check=True, capture_output=True)
    (directory / "Packages").write_bytes(index.stdout)
    settings = [f"-oAPT::FTPArchive::Release::{key}={label}" for key in ("Origin", "Label")]
    release = subprocess.run(
        ["apt-ftparchive", *settings, "release", "."], cwd=directory, check=True, capture_output=True
    )
    (directory / "Release").write_bytes(release.stdout)
    sign = ["gpg", "--homedir", gnupg, "--batch", "--yes", "--local-user", fingerprint, "--clearsign"]
    subprocess.run([*sign, "--output", "InRelease", "Release"], cwd=directory, check=True, capture_output=True)


def export_key(path: Path, gnupg: str, fingerprint: str) -> None:
    command = ["gpg", "--homedir", gnupg, "--batch", "--yes", "--armor", "--output", str(path)]
    subprocess.run([*command, "--export", fingerprint], check=True, capture_output=True)


def main(out: Path, gnupg: str, fingerprint: str) -> None:
    tables = tomllib.loads((HERE / "packages.toml").read_text())
    for table in tables.values():
        build_source(table, out)
    driver, toolkit = (out / tables[name]["repository"] for name in ("driver", "toolkit"))
    versions = tables["driver"]["versions"]
    for branch in sorted({version.split(".")[0] for version in versions}):
        pinning(branch, f"{branch}-1", out, driver)
    for version in versions:
        pinning(version, f"{version}-1", out, driver)
    index_and_sign(driver, "NVIDIA CUDA (simulated)", gnupg, fingerprint)
    index_and_sign(toolkit, "NVIDIA CORPORATION (simulated)", gnupg, fingerprint)
    export_key(driver / "8793F200.pub", gnupg, fingerprint)
    export_key(out / "libnvidia-container/gpgkey", gnupg, fingerprint)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
