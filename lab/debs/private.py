"""Programs that run with a loader and libraries of their own, so that those of Debian 13 run on an older system.

The name of the loader is written over in place: shorter names fit, and nothing in the program moves.
"""

import subprocess
from pathlib import Path

PLACE = "opt/ce"  # short: its names take the place of the usual ones
LOADER, USUAL_LOADER = b"/opt/ce/ld.so\0", b"/lib64/ld-linux-x86-64.so.2\0"
CACHE, USUAL_CACHE = b"/opt/ce/so.cache\0", b"/etc/ld.so.cache\0"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def redirect(tree: Path) -> None:
    """Every program below `tree` that asks for the usual loader asks for the private one."""
    for path in sorted(one for one in tree.rglob("*") if one.is_file() and not one.is_symlink()):
        data = path.read_bytes()
        place = data.find(USUAL_LOADER, 0, 8192)
        if data[:4] == b"\x7fELF" and place > 0:
            path.write_bytes(data[:place] + LOADER.ljust(len(USUAL_LOADER), b"\0") + data[place + len(USUAL_LOADER) :])


def settle(tree: Path) -> None:
    """Moves the libraries below `tree` to the private place, with the loader and its list of them."""
    private = tree / PLACE / "lib"
    private.mkdir(parents=True)
    for path in sorted((tree / LIBRARIES).glob("*.so*")):
        path.rename(private / path.name)
    loader = private / "ld-linux-x86-64.so.2"
    target = tree / PLACE / "ld.so"
    target.write_bytes(loader.resolve().read_bytes().replace(USUAL_CACHE, CACHE))
    target.chmod(0o755)
    (tree / PLACE / "list").write_text(f"/{PLACE}/lib\n")
    subprocess.run(["ldconfig", "-r", tree, "-f", f"/{PLACE}/list", "-C", f"/{PLACE}/so.cache"], check=True)
