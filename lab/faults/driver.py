"""Faults of the driver: other libraries than the module, no module for the next kernel, nouveau, the wrong flavour."""

from __future__ import annotations

from lab import kernels
from lab.faults.packages import INSTALL, LIBRARY, add_nvidia_source, driver_version, other_version, owner, update
from lab.faults.registry import heal, inject
from lab.faults.target import Target
from lab.machine import KERNEL

NEXT = kernels.following(KERNEL)
NEXT_PACKAGE = NEXT.lower().replace("_", "-")
SIMULATED = "/etc/apt/sources.list.d/debian-simulated.sources"
# nouveau claims NVIDIA's devices at boot, as its module says on a real kernel.
NOUVEAU = "/usr/lib/modprobe.d/simulated-nouveau.conf"
CLAIMS = "alias pci:v000010DEd*sv*sd*bc03sc0[02]i00* nouveau"


def _of_driver(target: Target, version: str) -> list[str]:
    """The installed packages of the driver's version, but for the one that pins it."""
    script = "dpkg-query -W -f '${db:Status-Status} ${Version} ${Package}\\n'"
    rows = [line.split() for line in target.sh(script).splitlines()]
    return [row[2] for row in rows if row[:2] == ["installed", version] and "-pinning-" not in row[2]]


def _change_to(target: Target, version: str) -> None:
    names = " ".join(f"{name}={version}" for name in _of_driver(target, driver_version(target)))
    target.sh(f"{INSTALL} {names} >/dev/null 2>&1")


def _hold(target: Target) -> None:
    """Holds the driver's packages, as a provisioned server has them; apt forgets that when it is told a version."""
    target.sh(f"apt-mark hold {' '.join(_of_driver(target, driver_version(target)))} >/dev/null")


@inject("library-mismatch")
def mismatch(target: Target) -> str:
    """All of the driver's packages get another version while the module of the old one stays loaded."""
    other = other_version(target)
    _change_to(target, other)
    return target.sh("nvidia-smi || true")


@heal("library-mismatch")
def match(target: Target) -> str:
    loaded, revision = target.sh("cat /sys/module/nvidia/version"), driver_version(target).partition("-")[2]
    _change_to(target, f"{loaded}-{revision}")
    _hold(target)
    # It has given up: so many changes of the driver in so short a time.
    target.sh(
        "systemctl reset-failed 'nvidia-*'; systemctl restart nvidia-cdi-refresh.path nvidia-cdi-refresh.service || true"
    )
    target.forget_log()
    return f"The driver's packages have the loaded module's version again, {loaded}."


@inject("module-missing-next-kernel")
def no_module(target: Target) -> str:
    """The kernel comes without its headers, as where no meta package brings both."""
    target.sh(f"{update(SIMULATED)} >/dev/null; {INSTALL} linux-image-{NEXT_PACKAGE} >/dev/null 2>&1")
    return f"/boot/vmlinuz-{NEXT} would boot next; /lib/modules/{NEXT} has no nvidia module."


@heal("module-missing-next-kernel")
def no_kernel(target: Target) -> str:
    target.sh(f"""
    apt-get purge -qy --allow-change-held-packages 'linux-image-{NEXT_PACKAGE}' 'linux-headers-{NEXT_PACKAGE}*' >/dev/null
    rm -rf /lib/modules/{NEXT} /run/reboot-required
    """)
    return f"The kernel {NEXT} is not installed any more."


@inject("nouveau-loaded")
def nouveau(target: Target) -> str:
    """As after a boot of a server on which nothing keeps nouveau away."""
    target.release_gpus()
    for path in target.sh("grep -lrsE '^ *blacklist +nouveau' /etc/modprobe.d || true").split():
        target.keep(path)
        target.sh(f"rm -f {path}")
    target.sh(f"echo '{CLAIMS}' > {NOUVEAU}; modprobe nouveau")
    return target.sh("lsmod | grep -E 'nouveau|nvidia'; lspci -nn -d 10de: | sed -n 1p; modprobe nvidia || true")


@heal("nouveau-loaded")
def no_nouveau(target: Target) -> str:
    target.sh(f"rm -f {NOUVEAU}; if [ -e /sys/module/nouveau ]; then modprobe -r nouveau; fi")
    paths = target.put_back()
    if not target.holds("nvidia-smi -L >/dev/null"):
        target.forget_log()
        target.use_gpus()
    return f"nouveau is gone; {', '.join(paths) or 'no file'} put back; the driver is loaded."


OPEN, PROPRIETARY = ("nvidia-kernel-open-dkms", "nvidia-open"), ("nvidia-kernel-dkms", "cuda-drivers")


def _flavour(target: Target, come: tuple[str, str], go: tuple[str, str]) -> str:
    """Puts one flavour's packages in the place of the other's, and loads the module as a boot would."""
    add_nvidia_source(target)
    target.release_gpus()
    version = "580.173.02-1"
    if owner(target, LIBRARY):
        version = driver_version(target)
    pinning = f"nvidia-driver-pinning-{version.split('.')[0]}"
    target.sh(f"if ! ls /etc/apt/preferences.d/nvidia-driver-pinning-* >/dev/null 2>&1; then {INSTALL} {pinning}; fi")
    # Of packages that were asked for by name apt takes none away by itself.
    names = [f"{name}={version}" for name in come] + [f"{name}-" for name in go]
    target.sh(f"{INSTALL} {' '.join(names)} >/dev/null")
    return target.sh("modprobe nvidia || true; nvidia-smi || true; dmesg -t | grep NVRM | tail -5")


@inject("pre-turing-open")
def open_on_old(target: Target) -> str:
    return _flavour(target, OPEN, PROPRIETARY)


@inject("blackwell-proprietary")
def proprietary_on_new(target: Target) -> str:
    return _flavour(target, PROPRIETARY, OPEN)


def _right(target: Target, licence: str, come: tuple[str, str], go: tuple[str, str]) -> str:
    """The flavour that fits, unless it is there and works."""
    if target.holds(f'[ "$(modinfo -F license nvidia)" = "{licence}" ] && nvidia-smi -L >/dev/null'):
        return f"{come[1]} is installed, and its module loaded."
    target.forget_log()
    reported = _flavour(target, come, go)
    _hold(target)
    target.use_gpus()
    return reported


@heal("pre-turing-open")
def proprietary(target: Target) -> str:
    return _right(target, "NVIDIA", PROPRIETARY, OPEN)


@heal("blackwell-proprietary")
def open_again(target: Target) -> str:
    return _right(target, "Dual MIT/GPL", OPEN, PROPRIETARY)
