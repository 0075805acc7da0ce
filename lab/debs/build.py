"""Builds the packages of Ubuntu-like and Debian 12 servers, and their signed repositories; runs in the builder image.

python3 -m lab.debs.build OUT GNUPG_HOME FINGERPRINT
"""

import platform
import shutil
import sys
import tomllib
from pathlib import Path

from lab.debs import private
from lab.el.build import carry
from lab.nvidia import build as nvidia
from lab.nvidia.tree import Libraries, Tree, fill

HERE = Path(__file__).parent
UNSUFFIXED = 590  # the first branch whose names have no branch in NVIDIA's repository for Ubuntu
KERNEL = platform.release()
NAMES = {"cuda": "NVIDIA CUDA (simulated)", "archive": "Ubuntu", "docker": "Docker (simulated)"}


def table(version: str) -> dict:
    """The table as it reads for the branch of a version."""
    branch = version.split(".")[0]
    text = (HERE / "packages.toml").read_text().replace("@K@", KERNEL)
    cuda, rest = text.split("[archive]", 1)
    if int(branch) >= UNSUFFIXED:
        cuda = cuda.replace("-@B@", "")
    return tomllib.loads(f"{cuda}[archive]{rest}".replace("@B@", branch))


def build_source(name: str, source: dict, out: Path, libraries: Libraries) -> None:
    """Every package of one source in every version."""
    directory = out / source["path"]
    directory.mkdir(parents=True, exist_ok=True)
    for version in source["versions"]:
        of_kernel = f"{KERNEL.replace('-', '.')}-1.{version}"
        revision = of_kernel if "kernel" in source else f"{source.get('epoch', '')}{version}-{source['revision']}"
        for package_name, package in table(version)[name]["packages"].items():
            tree = Tree(out, fill(package_name, version), package, version, revision)
            fill_tree(tree, package, libraries)
            tree.pack(directory)


def fill_tree(tree: Tree, package: dict, libraries: Libraries) -> None:
    """What a tree of lab.nvidia knows, several libraries, scripts of this directory, and files of Debian's packages."""
    tree.fill(package, libraries)
    for one in package.get("libraries", []):
        name, _, soname = one.partition(":")
        tree.library(libraries, name, soname or "1")
    for script in (HERE / "files").glob(f"{package.get('scripts', '-')}.p*"):
        tree.copy(script, f"DEBIAN/{script.suffix[1:]}", 0o755)
    for deb in package.get("debian", []):
        carry(deb, tree.path, package)
    for line in package.get("moved", []):
        source, target = (tree.path / path for path in line.split(" -> "))
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    if "debian" in package:
        at_home(tree.path)


def at_home(tree: Path) -> None:
    """Units and programs of Debian's packages, as Docker's own have them."""
    for unit in tree.glob("usr/lib/systemd/system/docker.service"):
        unit.write_text(unit.read_text().replace("/usr/sbin/dockerd", "/usr/bin/dockerd"))
    if (tree / private.LIBRARIES).is_dir():
        private.settle(tree)
    private.redirect(tree)


def debian12(out: Path, served: Path) -> Path:
    """NVIDIA's repository for Debian 12: the packages have the names of Debian 13's."""
    directory = out / "nvidia/debian12/x86_64"
    directory.mkdir(parents=True)
    for path in (served / "nvidia/debian13/x86_64").glob("*.deb"):
        shutil.copy(path, directory)
    return directory


def main(out: Path, gnupg: str, fingerprint: str, served: Path) -> None:
    sources = table("580.0")
    libraries = Libraries(out)
    for name, source in sources.items():
        build_source(name, source, out, libraries)
    libraries.remove()
    cuda = out / sources["cuda"]["path"]
    for version in sources["cuda"]["versions"]:
        nvidia.pinning(version, f"{version}-1", out, cuda)
    for branch in sorted({version.split(".")[0] for version in sources["cuda"]["versions"]}):
        nvidia.pinning(branch, f"{branch}-1", out, cuda)
    for name, label in NAMES.items():
        nvidia.index_and_sign(out / sources[name]["path"], label, gnupg, fingerprint)
    (out / sources["archive"]["path"] / "InRelease").unlink()  # servers trust it as it is, as they do their own archive
    bookworm = debian12(out, served)
    nvidia.index_and_sign(bookworm, NAMES["cuda"], gnupg, fingerprint)
    for directory in (cuda, bookworm):
        nvidia.export_key(directory / "3bf863cc.pub", gnupg, fingerprint)
    nvidia.export_key(out / "docker/deb/gpg", gnupg, fingerprint)
    for aside in out.glob("tree-*.deb"):  # left by packages that took files from others
        shutil.rmtree(aside)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
