"""The doctor on the machine itself: room on its disks, its clock, who holds the package manager's lock, a due reboot."""

import fcntl
import os
import struct
import time

from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.host.units import started

MB = 1000 * 1000
ROOM = 500 * MB  # that a filesystem needs; of a small one a twentieth
PLACES = (
    *("/", "/boot", "/usr", "/etc", "/tmp", "/var", "/var/tmp", "/var/log", "/var/cache/apt/archives", "/var/lib/dpkg"),
    *("/var/lib/rpm", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/deepgram"),
)
CLOCK_S = 120  # TLS, licences and signed links bear no more than some minutes
REBOOT = ("/run/reboot-required", "/var/run/reboot-required")
FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, process


def device(path):
    """The filesystem that a directory is on."""
    return os.stat(path).st_dev


def disk(host):
    short, inodes, smallest, seen_devices = [], [], None, set()
    for place in [*PLACES, *(host.params.get("places") or [])]:
        path = host.path(place)
        if not os.path.isdir(path) or device(path) in seen_devices:
            continue
        seen_devices.add(device(path))
        found = os.statvfs(path)
        if not found.f_blocks or found.f_flag & os.ST_RDONLY:
            continue
        size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        if free < min(ROOM, size // 20):
            short.append((place, f"has {free // MB} of {size // MB} MB free"))
        elif found.f_files and found.f_favail < found.f_files // 100:
            inodes.append((place, f"has {found.f_favail} of {found.f_files} inodes free"))
        elif smallest is None or free < smallest[0]:
            smallest = (free, place)
    if short or inodes:
        return full(short, inodes)
    return (
        healthy(f"{smallest[0] // MB} MB free at {smallest[1]}")
        if smallest
        else unknown("no filesystem can be inspected")
    )


def full(short, inodes):
    """Filesystems without room, and those without inodes: [(place, words)] of each."""
    seen = listed(f"{place} {words}" for place, words in [*short, *inodes])
    if not short:
        return unhealthy(seen, "very many small files: no other can be created, though there is room",
                         f"on the server: du --inodes -x -d4 {inodes[0][0]} | sort -n | tail; remove what fills it")  # fmt: skip
    return unhealthy(seen, fix=f"on the server: du -xh -d2 {short[0][0]} | sort -h | tail; docker image prune and apt-get clean "
                     "free what can be fetched again; or put a larger disk there")  # fmt: skip


def clock(host):
    expected = host.params.get("controller_time")
    if not expected:
        return unknown("the controller's time was not given")
    offset = host.started - expected
    seen = f"{offset:+.0f} s from the controller"
    return healthy(seen) if abs(offset) <= CLOCK_S else unhealthy(seen)


def holder(host):
    """(process id, its program, seconds that it runs) of who holds the package manager's lock; None for nobody.

    It asks the kernel who would be in the way, and takes no lock itself.
    """
    for path in host.packages().locks if host.packages() else ():
        try:
            with open(host.path(path), "rb") as stream:
                asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(stream, fcntl.F_GETLK, asked))
        except OSError:
            continue
        if kind != fcntl.F_UNLCK:
            since = started(str(pid))
            return pid, host.read(f"/proc/{pid}/comm") or "?", max(0, round(time.time() - since)) if since else 0
    return None


def lock(host):
    if not host.packages():
        return unknown("no package manager that is known here")
    found, patience = host.once("holder", lambda: holder(host)), host.params.get("lock_patience_s") or 600
    if not found:
        return healthy("free")
    pid, program, seconds = found
    seen = (
        f"held by {program} (process {pid}) for {seconds // 60} min"
        if seconds > 90
        else f"held by {program} (process {pid})"
    )
    if seconds < patience:
        return healthy(seen)
    return unhealthy(seen, fix=f"on the server: ps -fp {pid}; wait for it, or end it by its own means (it may wait for an answer "
                     "at a terminal); kill it only when it does nothing more; then dpkg --configure -a")  # fmt: skip


def reboot(host):
    if not any(host.exists(path) for path in REBOOT):
        return healthy("no")
    names = [name for path in REBOOT for name in host.read(path + ".pkgs").split()]
    seen = "asked for" + (f" by {listed(sorted(set(names)))}" if names else "")
    return unknown(seen, "reboot it when it suits: drain the server first, and check `module for next kernel` first")


CHECKS = (
    Check(
        "disk", disk,
        "free space and inodes of the filesystems that dpkg, images, models and logs are on",
        "500 MB free (of a small filesystem a twentieth)",
        "the disk is full: packages, images, models and logs cannot be written",
        "on the server: du -xh -d2 PLACE | sort -h | tail; docker image prune and apt-get clean free what can be fetched again",
        False, (), False,
        stands_on=(),
    ),
    Check(
        "clock", clock,
        "the host's clock against the controller's",
        f"within {CLOCK_S} s",
        "nothing keeps the clock right: TLS, licences and signed links fail on it",
        "on the server: timedatectl set-ntp true (package systemd-timesyncd or chrony), then timedatectl; a clock that runs away "
        "again is the board's battery",
        False, (), False,
        stands_on=(),
    ),
    Check(
        "package lock", lock,
        "who holds the package manager's lock, and for how long; it takes none itself",
        "free, or held for less time than provision would wait (nvidia_driver_lock_timeout_s)",
        "another program is at the packages and does not end: provision waits for it, then gives up",
        "on the server: ps -fp PROCESS; wait for it, or end it by its own means",
        False, (), False,
        stands_on=(),
    ),
    Check(
        "reboot", reboot,
        "the flag that packages set when they want a reboot; only reported, never a failure",
        "not asked for",
        "a kernel or a library was replaced",
        "reboot it when it suits: drain the server first",
        False, (), False,
        stands_on=(),
    ),
)  # fmt: skip
