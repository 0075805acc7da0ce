"""The doctor on the kernel's tables that fill up, and on the device files of the GPUs."""

import re

from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown

FULL = 0.95
HANDLES = "/proc/sys/fs/file-nr"  # in use, free, most: Documentation/admin-guide/sysctl/fs.rst
TRACKED = "/proc/sys/net/netfilter/nf_conntrack_{}"
PARAMETERS = "/proc/driver/nvidia/params"
MODE = re.compile(r"^DeviceFileMode: (\d+)$", re.MULTILINE)
WORLD = 0o666  # as the driver makes them, where nobody asked for another mode: 438 in its parameters
NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm")


def handles(host):
    words = host.read(HANDLES).split()
    if len(words) != 3 or not all(word.isdecimal() for word in words):
        return unknown("the kernel does not say")
    used, most = int(words[0]), int(words[2])
    seen = f"{used} of {most}"
    return healthy(seen) if used < FULL * most else unhealthy(seen)


def tracked(host):
    used, most = (host.read(TRACKED.format(name)) for name in ("count", "max"))
    if not (used.isdecimal() and most.isdecimal() and int(most)):
        return unknown("connections are not tracked here")
    seen = f"{used} of {most}"
    if int(used) < FULL * int(most):
        return healthy(seen)
    return unhealthy(seen, fix=f"on the server: sysctl -w net.netfilter.nf_conntrack_max={4 * int(most)}, and the same line in "
                     "/etc/sysctl.d/60-conntrack.conf; conntrack -S shows who fills it")  # fmt: skip


def devices(host):
    if not host.loaded():
        return unknown("no NVIDIA driver is loaded: see driver versions")
    parameters = host.read(PARAMETERS)
    reported = MODE.search(parameters)
    # Where the driver may not touch them, udev's rules decide.
    mode = 0 if "ModifyDeviceFiles: 0" in parameters else int(reported[1]) if reported else WORLD
    gpus = host.glob("/dev/nvidia[0-9]*")
    expected = len(host.glob("/proc/driver/nvidia/gpus/*"))
    missing = [path for path in NODES if not host.exists(path)]
    if len(gpus) < expected:
        missing.append(f"{expected - len(gpus)} of {expected} /dev/nvidiaN")
    if missing:
        return unhealthy(
            f"not there: {listed(missing)}", "udev or a script removed them, or nobody made them since the boot"
        )
    modes = {path: int(host.look_at(path).get("mode", "0666"), 8) for path in [*gpus, *NODES]}
    loose = [path for path, now in modes.items() if now & mode != mode]
    if loose:
        return unhealthy(f"{loose[0]} has mode {modes[loose[0]]:04o} instead of {mode:04o}",
                         fix=f"on the server: chmod {mode:04o} {' '.join(loose)}; a udev rule that sets another mode is in "
                         "/etc/udev/rules.d")  # fmt: skip
    return healthy(f"{len(gpus)} GPUs")


CHECKS = (
    Check(
        "file handles", handles,
        "open files of the whole system against the kernel's limit (fs.file-max)",
        f"below {FULL:.0%}",
        "a program opens files and never closes them",
        "on the server: for p in /proc/[0-9]*; do echo $(ls $p/fd | wc -l) $p; done | sort -n | tail; "
        "restart the one that has most",
        False, (), False,
        stands_on=(),
    ),
    Check(
        "conntrack", tracked,
        "connections that the kernel's firewall tracks, against its limit",
        f"below {FULL:.0%}",
        "the table is full: the kernel drops new connections (nf_conntrack: table full, dropping packet)",
        "on the server: sysctl -w net.netfilter.nf_conntrack_max=N",
        False, (), False,
        stands_on=(),
    ),
    Check(
        "gpu devices", devices,
        "/dev/nvidia* against the GPUs that the driver has, and their modes against the driver's DeviceFileMode",
        "there, with the driver's mode",
        "a udev rule or a person set another mode: programs that are not root's cannot use the GPU",
        "on the server: nvidia-modprobe -c 0 -u makes them; chmod 666 /dev/nvidia*",
        stands_on=("driver versions", "gpu count"),
    ),
)  # fmt: skip
