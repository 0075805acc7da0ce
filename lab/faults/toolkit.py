"""Faults of the container toolkit: unequal versions, and CDI specifications that are stale, unreadable or incomplete."""

from __future__ import annotations

from lab.faults.containers import mend_engine, recreate_engine
from lab.faults.packages import INSTALL
from lab.faults.registry import heal, inject
from lab.faults.target import Target

SPEC, SECOND = "/run/cdi/nvidia.yaml", "/etc/cdi/nvidia.yaml"
OLD_DRIVER, NEW_CDI = "570.86.15", "1.9.0"
LOWER = ("nvidia-container-toolkit-base", "nvidia-container-toolkit")
# Drops each mount of libcuda: an item of a list, from its dash to the next line that is not deeper.
WITHOUT_LIBCUDA = f"""
import re
from pathlib import Path
path = Path("{SPEC}")
kept, dropping = [], None
for line in path.read_text().splitlines(keepends=True):
    depth = len(line) - len(line.lstrip(" "))
    if dropping is not None and (depth > dropping or depth == dropping and not line.lstrip().startswith("-")):
        continue
    dropping = depth if re.match(r' *- hostPath: ".*libcuda\\.', line) else None
    if dropping is None:
        kept.append(line)
path.write_text("".join(kept))
"""


def _refresh(target: Target) -> None:
    target.sh("systemctl reset-failed nvidia-cdi-refresh.service || true; systemctl restart nvidia-cdi-refresh.service")


@inject("toolkit-versions")
def unequal(target: Target) -> str:
    """The upper two packages fall back a version, as when only they were named in an installation."""
    installed = target.sh("dpkg-query -W -f '${Version}' libnvidia-container1")
    lines = target.sh("apt-cache madison nvidia-container-toolkit-base | cut -d'|' -f2 | tr -d ' '").split()
    other = next(version for version in lines if version != installed)
    target.sh(f"{INSTALL} {' '.join(f'{name}={other}' for name in LOWER)} >/dev/null 2>&1")
    return target.sh("dpkg-query -W '*nvidia-container*' | grep '[0-9]'")


@heal("toolkit-versions")
def equal(target: Target) -> str:
    version = target.sh("dpkg-query -W -f '${Version}' libnvidia-container1")
    target.sh(f"{INSTALL} {' '.join(f'{name}={version}' for name in LOWER)} >/dev/null 2>&1")
    target.sh(f"apt-mark hold {' '.join(LOWER)} >/dev/null")
    return f"The toolkit's packages are all at {version}."


@inject("cdi-stale")
def stale(target: Target) -> str:
    target.sh(f"""
    version=$(cat /sys/module/nvidia/version)
    mkdir -p /etc/cdi
    sed "s/$version/{OLD_DRIVER}/g" {SPEC} > {SECOND}
    """)
    return f"{SECOND} names the files of driver {OLD_DRIVER}."


@heal("cdi-stale")
def one(target: Target) -> str:
    target.sh(f"rm -f {SECOND}")
    return f"{SECOND} is gone."


@inject("cdi-version")
def unreadable(target: Target) -> str:
    target.sh(f"sed -i 's/^cdiVersion:.*/cdiVersion: \"{NEW_CDI}\"/' {SPEC}")
    return f"{SPEC} has version {NEW_CDI}."


@heal("cdi-version")
def readable(target: Target) -> str:
    _refresh(target)
    return target.sh(f"grep cdiVersion {SPEC}")


@inject("libcuda-missing")
def no_libcuda(target: Target) -> str:
    target.sh(f"/usr/bin/python3 - <<'END'\n{WITHOUT_LIBCUDA}\nEND")
    recreate_engine(target)
    return f"{SPEC} mounts no libcuda.so.1; the Engine's container was recreated with it."


@heal("libcuda-missing")
def libcuda(target: Target) -> str:
    if not target.holds(f"grep -q libcuda {SPEC}"):
        _refresh(target)
    return f"{SPEC} is complete. {mend_engine(target)}"
