"""One stand-in package: a directory that is filled as the package's row says, then packed."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

from lab.nvidia import elf

HERE = Path(__file__).parent
FILES = HERE / "files"
MODULES = ["nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm"]
DRIVEN = "pci:v000010DEd*sv*sd*bc03sc0[02]i00*"
PLACEHOLDER = b"simulated-version-of-24-"  # in a compiled library, replaced by the version and zeros


def fill(text: str, version: str, revision: str = "") -> str:
    return text.replace("@V@", version).replace("@R@", revision)


class Libraries:
    """Shared objects that load, know their version, and as libcuda find a device; each is compiled once."""

    def __init__(self, out: Path) -> None:
        self.directory = out / "libraries"
        self.directory.mkdir()

    def content(self, name: str, soname: str, version: str) -> bytes:
        compiled = self.directory / f"{name}.so.{soname}"
        if not compiled.exists():
            command = ["gcc", "-shared", "-fPIC", "-Os", "-s", f"-Wl,-soname,{compiled.name}"]
            version_option = f'-DVERSION="{PLACEHOLDER.decode()}"'
            unfinished = compiled.with_suffix(f".{version}")
            subprocess.run([*command, version_option, "-o", str(unfinished), str(HERE / "library.c")], check=True)
            unfinished.rename(compiled)
        return compiled.read_bytes().replace(PLACEHOLDER, version.encode().ljust(len(PLACEHOLDER), b"\0"))

    def remove(self) -> None:
        shutil.rmtree(self.directory)


class Tree:
    """`row`: about, maintainer, depends, conflicts, provides, replaces, and what `fill` takes; see packages.toml."""

    def __init__(self, out: Path, name: str, row: dict, version: str, revision: str) -> None:
        self.path = out / f"tree-{name}-{version}"
        self.version, self.kernel = version, row.get("kernel", "")
        fields = {
            "Package": name,
            "Version": revision,
            "Architecture": "amd64",
            "Maintainer": row.get("maintainer") or "dgctl lab <lab@lab.test>",
            "Section": "lab",
            "Priority": "optional",
        }
        for field in ("depends", "conflicts", "provides", "replaces"):
            if field in row:
                fields[field.title()] = fill(row[field], version, revision)
        fields["Description"] = f"{row['about']} (simulated)\n Stand-in of the dgctl lab: drives no hardware."
        self.write("DEBIAN/control", "".join(f"{key}: {value}\n" for key, value in fields.items()))

    def write(self, target: str, content: str | bytes, mode: int = 0o644) -> None:
        path = self.path / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    def fill(self, row: dict, libraries: Libraries) -> None:
        """Plain files, a program, maintainer scripts, a shared object and kernel modules, as the row asks."""
        for line in row.get("files", []):
            source, target = line.split(" -> ")
            self.copy(FILES / source, fill(target, self.version))
        if "program" in row:
            name, target = row["program"].split(" -> ")
            self.program(name, self.path / target)
        for script in FILES.glob(f"{row['scripts']}.p*") if "scripts" in row else []:
            self.copy(script, f"DEBIAN/{script.suffix[1:]}", 0o755)
        if "library" in row:
            self.library(libraries, row["library"], row.get("soname", "1"))
        for module in MODULES if "modules" in row else []:
            alias = [DRIVEN] if module == "nvidia" else []
            content = elf.kernel_module(module.replace("-", "_"), self.version, row["modules"], alias)
            self.write(f"usr/src/nvidia-{self.version}/{module}.ko", content)

    def copy(self, source: Path, target: str, mode: int | None = None) -> None:
        text = fill(source.read_text(), self.version).replace("@KERNEL@", self.kernel)
        self.write(target, text, mode or (0o755 if os.access(source, os.X_OK) else 0o644))

    def program(self, name: str, target: Path) -> None:
        """One executable file of a package in programs/, so that CDI can hand it to containers."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            stream.write(b"#!/usr/bin/python3 -IS\n# Simulated: dgctl lab\n")
        with zipfile.ZipFile(target, "a") as archive:
            archive.writestr(zipfile.ZipInfo("__main__.py"), f"from {name}.main import main\nmain()\n")
            for path in sorted((HERE / "programs" / name).glob("*.py")):
                archive.writestr(zipfile.ZipInfo(f"{name}/{path.name}"), path.read_bytes())
        target.chmod(0o755)

    def library(self, libraries: Libraries, name: str, soname: str) -> None:
        directory = "usr/lib/x86_64-linux-gnu"
        full = f"{name}.so.{soname}.{self.version}" if name == "libnvidia-container" else f"{name}.so.{self.version}"
        self.write(f"{directory}/{full}", libraries.content(name, soname, self.version), 0o755)
        (self.path / directory / f"{name}.so.{soname}").symlink_to(full)

    def pack(self, directory: Path) -> None:
        """The same bytes for the same content, whenever it is built."""
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(self.path), str(directory)]
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        shutil.rmtree(self.path)
