"""Builds the stand-in packages and the signed repositories; runs in the services image, where the tools are.

python3 -m lab.nvidia.build OUT GNUPG_HOME FINGERPRINT KERNEL      (KERNEL: release of the newer kernel to offer)
"""

import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.nvidia.tree import Libraries, Tree

HERE = Path(__file__).parent
PINNED = "nvidia-* libnvidia-* libcuda1 cuda-drivers firmware-nvidia-gsp"


def desired(table: dict) -> list[tuple[str, dict, str]]:
    """(package, its row, version) of everything that one source has; some packages end with a branch."""
    return [
        (name, package, version)
        for version in table["versions"]
        for name, package in table["packages"].items()
        if int(version.split(".")[0]) <= package.get("last_branch", 9999)
    ]


def build_source(table: dict, out: Path, libraries: Libraries) -> None:
    """Every package of one source in every version, into the source's repository; two at a time."""
    directory = out / table["repository"]
    directory.mkdir(parents=True, exist_ok=True)

    def build(one: tuple[str, dict, str]) -> None:
        name, package, version = one
        revision = f"{table.get('epoch', '')}{version}-{table['revision']}"
        tree = Tree(out, name, {"maintainer": table.get("maintainer"), **package}, version, revision)
        tree.fill(package, libraries)
        tree.pack(directory)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(build, desired(table)))


def pinning(version_pattern: str, package_version: str, out: Path, directory: Path) -> None:
    """The package that keeps a branch or a version: a preferences file, which another such package replaces."""
    name = f"nvidia-driver-pinning-{version_pattern}"
    row = {
        "about": f"keeps the NVIDIA driver at {version_pattern}",
        "conflicts": "nvidia-driver-pinning",
        "provides": "nvidia-driver-pinning",
    }
    tree = Tree(out, name, row, version_pattern, package_version)
    # A branch's pattern wants the dot, or 58* would count; a full version is followed by its revision.
    pattern = f"{version_pattern}-*" if "." in version_pattern else f"{version_pattern}.*"
    # apt reads no file whose name has a dot, other than before `pref`.
    text = f"# Simulated\nPackage: {PINNED}\nPin: version {pattern}\nPin-Priority: 1000\n"
    tree.write(f"etc/apt/preferences.d/{name.replace('.', '-')}", text)
    tree.pack(directory)


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


def read_tables(kernel: str) -> dict:
    """packages.toml with the newer kernel's name in it, as Debian writes it in packages and in versions."""
    text = (HERE / "packages.toml").read_text()
    name, version = kernel.lower().replace("_", "-"), kernel.replace("_", ".").replace("-", "+")
    return tomllib.loads(
        text.replace("@KERNEL@", kernel).replace("@kernel@", name).replace("@kernel-version@", version)
    )


def main(out: Path, gnupg: str, fingerprint: str, kernel: str) -> None:
    tables = read_tables(kernel)
    libraries = Libraries(out)
    for table in tables.values():
        build_source(table, out, libraries)
    libraries.remove()
    driver = out / tables["driver"]["repository"]
    versions = tables["driver"]["versions"]
    for branch in sorted({version.split(".")[0] for version in versions}):
        pinning(branch, f"{branch}-1", out, driver)
    for version in versions:
        pinning(version, f"{version}-1", out, driver)
    for repository, label in {table["repository"]: table["label"] for table in tables.values()}.items():
        index_and_sign(out / repository, f"{label} (simulated)", gnupg, fingerprint)
    export_key(driver / "8793F200.pub", gnupg, fingerprint)
    export_key(out / "libnvidia-container/gpgkey", gnupg, fingerprint)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
