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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.nvidia.build import export_key
from lab.nvidia.tree import Libraries, Tree, fill

HERE = Path(__file__).parent
PLACES = [HERE.parent / "nvidia/files", HERE / "files", HERE.parent / "server/packages/dkms"]
DEBS = Path("/srv/debs")
SCRATCH = Path("/tmp/rpm")
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
%files {listed}
"""


def tool(*command: object) -> None:
    """Runs one of the tools; its last words where it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")


def build(name: str, package: dict, version: str, repository: dict, out: Path, libraries: Libraries) -> None:
    """One package in one version."""
    tree = Tree(SCRATCH, name, {"about": package["about"]}, version, repository["release"])
    shutil.rmtree(tree.path / "DEBIAN")
    fill_tree(tree, package, libraries)
    files = SCRATCH / f"{tree.path.name}.files"
    files.write_text(listing(tree.path))
    epoch = package.get("epoch", repository.get("epoch"))
    kinds = {"Requires": "requires", "Provides": "provides", "Conflicts": "conflicts"}
    relations = [f"{kind}: {fill(one, version)}" for kind, key in kinds.items() for one in package.get(key, [])]
    values = {
        "name": name,
        "version": version,
        "release": repository["release"],
        "about": package["about"],
        "epoch": f"Epoch: {epoch}\n" if epoch else "",
        "relations": "\n".join(relations),
        "scripts": scripts(package, version),
        "listed": f"-f {files}" if files.stat().st_size else "",
    }
    spec = SCRATCH / f"{tree.path.name}.spec"
    spec.write_text(SPEC.format(**values))
    defines = DEFINES | {"_topdir": SCRATCH / "rpmbuild", "_rpmdir": out}
    options = [word for key, value in defines.items() for word in ("--define", f"{key} {value}")]
    tool("rpmbuild", "--quiet", "-bb", "--buildroot", tree.path, *options, spec)


def fill_tree(tree: Tree, package: dict, libraries: Libraries) -> None:
    """The files of a package: its own, real ones of Debian's packages, libraries, kernel modules."""
    for deb in package.get("debian", []):
        carry(deb, tree.path, package)
    for line in package.get("files", []):
        source, target = line.split(" -> ")
        origin = next(place / source for place in PLACES if (place / source).exists())
        tree.copy(origin, fill(target, tree.version))
    for library in package.get("libraries", []):
        name, _, soname = library.partition(":")
        soname = soname or "1"
        full = f"{name}.so.{soname}.{tree.version}" if name == "libnvidia-container" else f"{name}.so.{tree.version}"
        tree.write(f"{LIBRARIES}/{full}", libraries.content(name, soname, tree.version), 0o755)
        (tree.path / LIBRARIES / f"{name}.so.{soname}").symlink_to(full)
    own = {key: package[key] for key in ("program", "modules") if key in package}
    tree.fill(own, libraries)


def carry(deb: str, tree: Path, package: dict) -> None:
    """A Debian package's files, without its documentation."""
    (path,) = DEBS.glob(f"{deb}_*.deb")
    aside = tree.with_suffix(".deb")
    shutil.rmtree(aside, ignore_errors=True)
    tool("dpkg-deb", "-x", path, aside)
    for file in sorted(aside.rglob("*")):
        name = str(file.relative_to(aside))
        unwanted = [*package.get("without", []), "usr/share/doc", "usr/share/man", "usr/share/lintian"]
        left_out = any(fnmatch.fnmatch(name, one) or name.startswith(one + "/") for one in unwanted)
        picked = any(fnmatch.fnmatch(name, one) for one in package.get("only", ["*"]))
        if picked and not left_out and (file.is_symlink() or not file.is_dir()):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, tree / name)


def listing(tree: Path) -> str:
    """What rpmbuild is to pack: files and links; a configuration file that was changed stays."""
    paths = sorted(
        "/" + str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()
    )
    return "".join(("%config(noreplace) " if path.startswith("/etc/") else "") + f'"{path}"\n' for path in paths)


def scripts(package: dict, version: str) -> str:
    """The row's scripts; with libraries the loader's cache and links are remade, as EL's libc sees to."""
    text = ""
    for kind in ("pre", "post", "preun", "postun"):
        body = fill((HERE / "files" / package[kind]).read_text(), version) if kind in package else ""
        if kind in ("post", "postun") and "libraries" in package:
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
        tool("rpmsign", "--define", f"_gpg_name {fingerprint}", "--addsign", *packages)
    tool("createrepo_c", "--quiet", directory)
    if "streams" in repository:
        modules = SCRATCH / "modules.yaml"
        modules.write_text(modules_yaml(repository))
        tool("modifyrepo_c", "--mdtype=modules", modules, directory / "repodata")
    if repository.get("metadata"):
        sign = ["gpg", "--batch", "--yes", "--local-user", fingerprint, "--armor", "--detach-sign"]
        tool(*sign, directory / "repodata/repomd.xml")


def main(out: Path, gnupg: str, fingerprint: str) -> None:
    SCRATCH.mkdir()
    libraries = Libraries(SCRATCH)
    for repository in tomllib.loads((HERE / "packages.toml").read_text()).values():
        directory = out / repository["path"]
        directory.mkdir(parents=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = [
                pool.submit(build, name, package, version, repository, directory, libraries)
                for name, package in repository["packages"].items()
                for version in package.get("versions", repository.get("versions", []))
            ]
            for one in made:
                one.result()
        finish(repository, directory, fingerprint)
        if repository["key"]:
            key = out / repository["key"] if "/" in repository["key"] else directory / repository["key"]
            key.parent.mkdir(parents=True, exist_ok=True)
            export_key(key, gnupg, fingerprint)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
