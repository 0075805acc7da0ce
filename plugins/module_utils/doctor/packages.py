"""The doctor on packages: their versions, holds and state, and what unattended upgrades or an installer may do to them."""

import fnmatch
import re

from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.dpkg import Dpkg
from ansible.module_utils.doctor.machine import holder
from ansible.module_utils.doctor.rpm import Rpm
from ansible.module_utils.packages import families

# Packages that are of the driver's own version, by patterns; others go by numbers of their own, as Debian's
# nvidia-modprobe and nvidia-persistenced do. Fabric Manager has a check of its own.
BESIDE = ("nvidia-modprobe", "nvidia-persistenced")
OF_DRIVER = (
    *("nvidia-open", "nvidia-driver", "nvidia-driver-*", "nvidia-kernel-*", "nvidia-smi", "libnvidia-*", "libcuda1"),
    *("nvidia-imex", "cuda-drivers", "firmware-nvidia-gsp", "nvidia-firmware", "nvidia-dkms-*", "nvidia-utils-*"),
    *("nvidia-headless-*", "nvidia-compute-utils-*", "libnvcuvid1", "nvidia-libopencl1", "nvidia-opencl-icd"),
    *("kmod-nvidia-*", "nvidia-kmod-common"),
)
NOT_OF_DRIVER = (
    *("libnvidia-container*", "libnvidia-egl-*", "libnvidia-api*", "nvidia-kernel-common*", "nvidia-settings*"),
    "nvidia-driver-pinning-*",
)
TOOLKIT = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
NUMBER = re.compile(r"^(?:\d+:)?(\d{3}\.\d+(?:\.\d+)?)(?:[-+~]|$)")
INSTALLERS = ("/usr/bin/nvidia-uninstall", "/usr/bin/nvidia-installer")
ROLES = ("nvidia_driver", "nvidia_container_toolkit")

MANAGERS = {"apt": Dpkg, "dnf": Rpm}


def manager(host):
    """The package manager of this host, or None where it is not one that is known here."""
    family = families.here(host.exists)
    return None if family.database and not host.exists(family.database) else MANAGERS[family.name](host)


def unmanaged():
    return unknown("no package manager that is known here")


def of_driver(name):
    return any(fnmatch.fnmatch(name, one) for one in OF_DRIVER) and not any(
        fnmatch.fnmatch(name, one) for one in NOT_OF_DRIVER
    )


def of_nvidias_driver(packages):
    """Those of BESIDE that are from where the driver's library is: NVIDIA's own are of the driver's version."""
    origins = packages.origins()
    library = origins.get("libnvidia-ml1") or origins.get("libnvidia-ml") or set()
    return [name for name in BESIDE if library & (origins.get(name) or set())]


def nvidias(name):
    """Is it a package of the driver or the toolkit? Others that a role recorded may be upgraded by anybody."""
    return bool(re.search(r"nvidia|libcuda|cuda-drivers|libnvcuvid", name))


def number(version):
    """580.173.02 of 580.173.02-1; "" for what is no driver's version."""
    match = NUMBER.match(version)
    return match.group(1) if match else ""


def recorded(host):
    """{package: {version, held}} of NVIDIA's packages, as the roles left them."""
    found = {}
    for role in ROLES:
        found.update(
            {name: one for name, one in host.recorded(role).get("packages", {}).items() if nvidias(name) and one}
        )
    return found


def versions(host):
    if not host.packages():
        return unmanaged()
    now, before = host.packages().installed(), recorded(host)
    other = {
        name: (one["version"], now.get(name, "")) for name, one in before.items() if one["version"] != now.get(name, "")
    }
    if other:
        seen = listed(
            f"{name} {is_now or 'not installed'} instead of {was}" for name, (was, is_now) in sorted(other.items())
        )
        removed = all(not is_now for _, is_now in other.values())
        cause = (
            "they were removed"
            if removed
            else "something upgraded them past their hold, most likely an unattended upgrade"
        )
        back = " ".join(host.packages().exactly.format(name, was) for name, (was, _) in sorted(other.items()))
        return unhealthy(seen, cause, f"dgctl provision; or on the server: {host.packages().install.format(back)}")
    numbers, beside = {}, of_nvidias_driver(host.packages())
    for name, version in sorted(now.items()):
        if (of_driver(name) or name in beside) and number(version):
            numbers.setdefault(number(version), []).append(name)
    if len(numbers) > 1:
        most = max(numbers, key=lambda one: len(numbers[one]))
        odd = [f"{name} {one}" for one, names in numbers.items() if one != most for name in names]
        return unhealthy(
            f"{listed(odd)}; the others {most}", "some of the driver's packages were upgraded and others not"
        )
    if not numbers:
        return unknown("no package of the driver is installed")
    return healthy(f"{', '.join(numbers)} ({sum(map(len, numbers.values()))} packages)")


def state(host):
    packages = host.packages()
    if not packages:
        return unmanaged()
    half, lacking = packages.half_done(), packages.lacking()
    busy = (half or packages.journal()) and host.once("holder", lambda: holder(host))
    if busy:
        return unknown(f"{busy[1]} (process {busy[0]}) is at work: see package lock")
    if half or packages.journal():
        seen = listed(f"{name} {status}" for name, status in sorted(half.items())) or "dpkg's journal is not empty"
        return unhealthy(seen, "an installation was interrupted, or a package's script failed", finish(packages))
    if lacking:
        cause = "a package was changed, held or removed without what depends on it"
        return unhealthy(listed(lacking), cause, finish(packages))
    return healthy("all whole") if lacking is not None else unknown(f"{packages.name} does not say")


def finish(packages):
    return f"on the server: {packages.finish}; what stays broken it names; or dgctl provision --full"


def holds(host):
    packages, before = host.packages(), recorded(host)
    if not packages:
        return unmanaged()
    if not host.params.get("hold", True):
        return unknown("nvidia_driver_hold is off")
    meant = sorted(name for name, one in before.items() if one.get("held"))
    if not meant:
        return unknown("no hold is on record here")
    loose = [name for name in meant if packages.version(name) and not packages.known()[name]["held"]]
    if loose:
        return unhealthy(
            f"not held: {listed(loose)}",
            fix=f"dgctl provision; or on the server: {packages.hold.format(' '.join(loose))}",
        )
    return healthy(f"{len(meant)} packages held")


def unattended(host):
    packages = host.packages()
    if not packages:
        return unmanaged()
    on, barred = packages.nightly()
    if not on:
        return healthy("off")
    driver = [name for name in packages.installed() if of_driver(name)]
    free = [
        name for name in driver if not packages.known()[name]["held"] and not any(re.match(one, name) for one in barred)
    ]
    if not driver:
        return unknown("no package of the driver is installed")
    if free and host.params.get("hold", True):
        return unhealthy(f"on, and may upgrade {listed(sorted(free))}")
    return healthy("on, and must not touch the driver" if not free else "on; nvidia_driver_hold is off")


def toolkit(host):
    packages = host.packages()
    if not packages:
        return unmanaged()
    found = {name: packages.version(name) for name in TOOLKIT if packages.version(name)}
    if not found:
        return unknown("the toolkit is not installed")
    if len(set(found.values())) > 1:
        return unhealthy(listed(f"{name} {version}" for name, version in found.items()))
    return healthy(f"{next(iter(found.values()))}, {len(found)} packages")


def leftovers(host):
    left = [path for path in INSTALLERS if host.exists(path)]
    packages = host.packages()
    left = [path for path in left if not (packages and packages.owner(path))]
    if left:
        return unhealthy(listed(left), fix=f"drain the server, {left[0]} --silent, dgctl provision --full, reboot")
    return healthy("none")


CHECKS = (
    Check(
        "package versions", versions,
        "NVIDIA's packages against the versions that the roles recorded, and the driver's packages among themselves",
        "as recorded, and one version",
        "some of the driver's packages were upgraded and others not",
        "dgctl provision --full",
        True,
        stands_on=("package state",),
    ),
    Check(
        "package state", state,
        "packages that are half installed, and dependencies that are not met (apt-get check, rpm -Va)",
        "every package whole",
        "an installation was interrupted, or a package was changed without what depends on it",
        f"on the server: {Dpkg.finish}; or dgctl provision --full",
        True, (), False,
        stands_on=("disk",),
    ),
    Check(
        "holds", holds,
        "packages that the roles recorded as held",
        "held",
        "somebody lifted the hold: the next upgrade takes the driver from under the running Engine",
        "dgctl provision",
        True,
        stands_on=("package state",),
    ),
    Check(
        "unattended upgrades", unattended,
        "whether unattended-upgrades or dnf-automatic runs, and packages of the driver that neither a hold nor its own settings "
        "keep from it",
        "off, or kept from the driver",
        "the next night may replace the driver under the running Engine",
        "dgctl provision --full (it holds the driver, and keeps what upgrades by itself from it)",
        True,
        stands_on=("holds",),
    ),
    Check(
        "toolkit versions", toolkit,
        "versions of the container toolkit's four packages",
        "one version",
        "NVIDIA supports the four at the same version alone: one was upgraded without the others",
        "dgctl provision",
        True, ("toolkit.one_version",),
        stands_on=("package state",),
    ),
    Check(
        "driver leftovers", leftovers,
        "files of a driver that NVIDIA's .run installer put there",
        "none",
        "that driver and the packages overwrite each other's files",
        "drain the server, nvidia-uninstall --silent, dgctl provision --full, reboot",
        stands_on=(),
    ),
)  # fmt: skip
