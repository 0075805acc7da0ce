"""Builds the EL-like server's packages and their signed repositories; runs in the builder image, where the tools are.

python3 -m lab.el.build OUT GNUPG_HOME FINGERPRINT
"""

import fnmatch
import os
import shutil
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path

from lab.nvidia import elf
from lab.nvidia.build import DRIVEN, MODULES, export_key, fill

HERE = Path(__file__).parent
PLACES = [HERE.parent / "nvidia/files", HERE / "files"]
DEBS = Path("/srv/debs")
LIBRARIES = "usr/lib64"
DEFINES = {
    "_build_id_links": "none",
    "debug_package": "%{nil}",
    "__os_install_post": "%{nil}",
    "_binary_payload": "w1.gzdio",
    "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
}
SPEC = """\
Name: {name}
Version: {version}
Release: {release}
{epoch}Summary: {about} (simulated)
License: none
BuildArch: x86_64
AutoReqProv: no
{relations}
%description
Stand-in of the dgctl lab.
{scripts}
%files -f {tree}.files
"""


def build(name: str, package: dict, version: str, repository: dict, out: Path) -> None:
    """One package in one version."""
    tree = out.parent / "tree" / name
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    fill_tree(tree, package, version)
    (tree.parent / f"{name}.files").write_text(listing(tree))
    epoch = package.get("epoch", repository.get("epoch"))
    kinds = {"Requires": "requires", "Provides": "provides", "Conflicts": "conflicts"}
    relations = [f"{kind}: {fill(one, version)}" for kind, key in kinds.items() for one in package.get(key, [])]
    spec = tree.parent / f"{name}.spec"
    spec.write_text(
        SPEC.format(
            name=name, version=version, release=repository["release"], about=package["about"], tree=tree,
            epoch=f"Epoch: {epoch}\n" if epoch else "", relations="\n".join(relations), scripts=scripts(package, version),
        )
    )  # fmt: skip
    defines = DEFINES | {"_topdir": tree.parent / "rpmbuild", "_rpmdir": out}
    options = [word for key, value in defines.items() for word in ("--define", f"{key} {value}")]
    subprocess.run(["rpmbuild", "--quiet", "-bb", "--buildroot", tree, *options, spec], check=True, capture_output=True)


def fill_tree(tree: Path, package: dict, version: str) -> None:
    """The files of a package: its own, real ones of Debian's packages, libraries, kernel modules."""
    for deb in package.get("debian", []):
        carry(deb, tree, package)
    for line in package.get("files", []):
        source, target = line.split(" -> ")
        origin = next(place / source for place in PLACES if (place / source).exists())
        path = tree / fill(target, version)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(fill(origin.read_text(), version))
        path.chmod(0o755 if os.access(origin, os.X_OK) else 0o644)
    for library in package.get("libraries", []):
        compile_library(tree, *library.partition(":")[::2], version)
    for module in MODULES if "modules" in package else []:
        path = tree / f"usr/src/nvidia-{version}" / f"{module}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        alias = [DRIVEN] if module == "nvidia" else []
        path.write_bytes(elf.kernel_module(module.replace("-", "_"), version, package["modules"], alias))


def carry(deb: str, tree: Path, package: dict) -> None:
    """A Debian package's files, without its documentation."""
    (path,) = DEBS.glob(f"{deb}_*.deb")
    aside = tree.with_suffix(".deb")
    shutil.rmtree(aside, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", path, aside], check=True)
    for file in sorted(aside.rglob("*")):
        name = str(file.relative_to(aside))
        unwanted = [*package.get("without", []), "usr/share/doc", "usr/share/man", "usr/share/lintian"]
        left_out = any(fnmatch.fnmatch(name, one) or name.startswith(one + "/") for one in unwanted)
        picked = any(fnmatch.fnmatch(name, one) for one in package.get("only", ["*"]))
        if picked and not left_out and (file.is_symlink() or not file.is_dir()):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, tree / name)


def compile_library(tree: Path, name: str, soname: str, version: str) -> None:
    """As lab.nvidia.build makes it, where EL has its libraries."""
    directory, soname = tree / LIBRARIES, soname or "1"
    directory.mkdir(parents=True, exist_ok=True)
    full = f"{name}.so.{version}" if name != "libnvidia-container" else f"{name}.so.{soname}.{version}"
    command = ["gcc", "-shared", "-fPIC", "-Os", "-s", f"-Wl,-soname,{name}.so.{soname}", f'-DVERSION="{version}"']
    subprocess.run([*command, "-o", directory / full, HERE.parent / "nvidia/library.c"], check=True)
    (directory / f"{name}.so.{soname}").symlink_to(full)


def listing(tree: Path) -> str:
    """What rpmbuild is to pack: files and links; a configuration file that was changed stays."""
    paths = sorted(
        "/" + str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()
    )
    return "".join(("%config(noreplace) " if path.startswith("/etc/") else "") + f'"{path}"\n' for path in paths)


def scripts(package: dict, version: str) -> str:
    """%pre, %post and %preun; with libraries the loader's cache is made anew."""
    text = ""
    for kind in ("pre", "post", "preun"):
        body = fill((HERE / "files" / package[kind]).read_text(), version) if kind in package else ""
        if kind == "post" and "libraries" in package:
            body += "ldconfig\n"
        text += f"%{kind}\n{body}\n" if body else ""
    return text


def modules_yaml(repository: dict) -> str:
    """The streams of the module nvidia-driver."""
    text = ""
    for stream, versions in repository["streams"].items():
        names = [
            f"{name}-{repository['epoch']}:{version}-{repository['release']}.x86_64"
            for version in versions
            for name in repository["packages"]
        ]
        text += (
            "---\ndocument: modulemd\nversion: 2\ndata:\n  name: nvidia-driver\n"
            f"  stream: '{stream}'\n  version: 20260101000000\n  context: '{zlib.crc32(stream.encode()):08x}'\n  arch: x86_64\n"
            "  summary: NVIDIA driver (simulated)\n  description: Stand-in of the dgctl lab.\n"
            "  license: {module: [MIT]}\n  artifacts:\n    rpms:\n"
            + "".join(f"    - {name}\n" for name in names)
            + "...\n"
        )
    return text


def finish(repository: dict, directory: Path, fingerprint: str) -> None:
    """Signs what is to be signed, and writes the metadata."""
    if repository.get("signed", True):
        packages = sorted(directory.glob("*.rpm"))
        subprocess.run(
            ["rpmsign", "--define", f"_gpg_name {fingerprint}", "--addsign", *packages], check=True, capture_output=True
        )
    subprocess.run(["createrepo_c", "--quiet", directory], check=True)
    if "streams" in repository:
        modules = directory.parent / "modules.yaml"
        modules.write_text(modules_yaml(repository))
        subprocess.run(
            ["modifyrepo_c", "--mdtype=modules", modules, directory / "repodata"], check=True, capture_output=True
        )
    if repository.get("metadata"):
        sign = ["gpg", "--batch", "--yes", "--local-user", fingerprint, "--armor", "--detach-sign"]
        subprocess.run([*sign, directory / "repodata/repomd.xml"], check=True, capture_output=True)


def main(out: Path, gnupg: str, fingerprint: str) -> None:
    for repository in tomllib.loads((HERE / "packages.toml").read_text()).values():
        directory = out / repository["path"]
        directory.mkdir(parents=True)
        for name, package in repository["packages"].items():
            for version in package.get("versions", repository.get("versions", [])):
                build(name, package, version, repository, directory)
        finish(repository, directory, fingerprint)
        if repository["key"]:
            key = out / repository["key"] if "/" in repository["key"] else directory / repository["key"]
            key.parent.mkdir(parents=True, exist_ok=True)
            export_key(key, gnupg, fingerprint)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
