"""Preflight checks of the host itself: system, cores, memory, disk, headers, Secure Boot, clock.

Each function returns a list of findings (see outcome.py) and changes nothing.
"""

import os
import platform
import tempfile
import time

from ansible.module_utils.boot.kernel import rpm_headers
from ansible.module_utils.host import os_release
from ansible.module_utils.host.files import existing_parent, read
from ansible.module_utils.host.loop_mount import is_sized
from ansible.module_utils.host.outcome import finding, last_line, run
from ansible.module_utils.packages import families
from ansible.module_utils.packages import manager as packages_manager
from ansible.module_utils.preflight import boot as preflight_boot

GB = 1000 * 1000 * 1000


def system(systems, release=None, machine=None):
    """Is this distribution, version and architecture in the table of supported ones?"""
    release = os_release.fields() if release is None else release
    machine = machine or platform.machine()
    known = [s["name"] for s in systems]
    match = os_release.entry(systems, release)
    seen = release.get("PRETTY_NAME") or "no /etc/os-release"
    found = [
        finding(
            "operating system",
            bool(match),
            seen,
            " or ".join(known),
            "Install one of: {}; or take this host out of the inventory.".format(", ".join(known)),
        )
    ]
    architectures = match["architectures"] if match else sorted({a for s in systems for a in s["architectures"]})
    found.append(
        finding(
            "architecture",
            machine in architectures,
            machine,
            " or ".join(architectures),
            "Deepgram's images exist for {} only: use another server.".format(" and ".join(architectures)),
        )
    )
    return found


def administrator():
    """Does the task run as root?"""
    user = os.geteuid()
    return [
        finding(
            "root",
            user == 0,
            f"uid {user}",
            "uid 0",
            "Let the login user become root: give it sudo rights, and set ansible_become_password if it has one.",
        )
    ]


def cores(minimum):
    seen = len(os.sched_getaffinity(0))
    return [
        finding(
            "cpu cores",
            seen >= minimum,
            seen,
            f"at least {minimum}",
            f"Use a server with {minimum} cores, or lower preflight_min_cpu_cores and accept slower answers.",
        )
    ]


def memory(minimum_mib, meminfo="/proc/meminfo"):
    fields = dict(line.split(":", 1) for line in read(meminfo).splitlines() if ":" in line)
    seen = int(fields.get("MemTotal", "0 kB").split()[0]) // 1024
    return [
        finding(
            "memory",
            seen >= minimum_mib,
            f"{seen} MiB",
            f"at least {minimum_mib} MiB",
            (
                "Add memory, or lower preflight_min_memory_mb: an Engine that runs out of memory is "
                "killed while it loads."
            ),
        )
    ]


def disk(models_dir, minimum_gb, missing_bytes, deployed):
    """Room for the models; once a host is deployed, only for those that are missing."""
    place = existing_parent(models_dir)
    stat = os.statvfs(place)
    free = stat.f_bavail * stat.f_frsize
    needed = missing_bytes if deployed else max(missing_bytes, minimum_gb * GB)
    seen = f"{free / GB:.1f} GB free at {place}"
    why = "%.1f GB of models still to come" % (missing_bytes / GB)
    expected = "at least {:.1f} GB ({})".format(
        needed / GB, why if missing_bytes >= needed else "preflight_min_disk_gb"
    )
    return [
        finding(
            "disk",
            free >= needed,
            seen,
            expected,
            f"Free space at {place}, put a larger disk there, or change deepgram_models_dir.",
        )
    ]


def room_beside_models(path, models_dir, missing_bytes):
    """(existing directory of a path, os.statvfs of it, bytes that models on the same filesystem still need, words for those)."""
    place = existing_parent(path)
    stat = os.statvfs(place)
    beside = missing_bytes if os.stat(place).st_dev == os.stat(existing_parent(models_dir)).st_dev else 0
    more = f", and {beside / GB:.1f} GB of models still to come" if beside else ""
    return place, stat, beside, more


def journal(desired, models_dir, missing_bytes):
    """Room for Billing's journal, whose filesystem may be its own; beside models on one, for those that are missing too."""
    if not desired:
        return []
    directory = desired["directory"]
    place, stat, beside, more = room_beside_models(directory, models_dir, missing_bytes)
    free = stat.f_bavail * stat.f_frsize
    needed = int(desired["minimum_gb"]) * GB + beside
    return [
        finding(
            "journal disk",
            free >= needed and not stat.f_flag & os.ST_RDONLY,
            f"{free / GB:.1f} GB free at {place}" + (", which is read-only" if stat.f_flag & os.ST_RDONLY else ""),
            f"at least {needed / GB:.1f} GB to write to, for Billing's journal in {directory} (preflight_min_journal_gb{more})",
            f"Free space at {place}, put a larger disk there, or change billing_journal_dir (on a server that has a journal: "
            "fetch it first, dgctl journal).",
        )
    ]


def uploads(desired, models_dir, missing_bytes):
    """Room for the file of the uploads' file system, unless it is there in its size; beside models for those to come too."""
    if not desired:
        return []
    image, needed = desired["image"], int(desired["gb"]) * GB
    place, stat, beside, more = room_beside_models(image, models_dir, missing_bytes)
    free = stat.f_bavail * stat.f_frsize
    there = is_sized(image, needed)
    return [
        finding(
            "upload buffer disk",
            there or free >= needed + beside,
            f"{image} is there" if there else f"{free / GB:.1f} GB free at {place}",
            f"at least {(needed + beside) / GB:.1f} GB for {image} (nginx_proxy_upload_buffer_gb{more})",
            f"Free space at {place}, or set nginx_proxy_upload_buffer_gb lower (0: uploads lie in NGINX's own folder, without "
            "a cap).",
        )
    ]


def apt_knows(package):
    """(can apt install this package, why not).

    Where apt's lists do not know it, fresh ones go to a directory that is thrown away.
    """
    if candidate(package, []):
        return True, ""
    with tempfile.TemporaryDirectory(prefix="preflight-") as scratch:
        os.makedirs(os.path.join(scratch, "lists", "partial"))
        os.makedirs(os.path.join(scratch, "cache", "archives", "partial"))
        options = [
            "-o",
            f"Dir::State::Lists={scratch}/lists",
            "-o",
            f"Dir::Cache={scratch}/cache",
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            "Acquire::http::Timeout=20",
            "-o",
            "Acquire::Retries=1",
        ]
        rc, _out, err = run(["apt-get", "update", "-qq", *options], timeout=120)
        return candidate(package, options), "apt-get update: " + last_line(err) if rc else ""


def dnf_knows(package):
    """(can dnf install this package, why not)."""
    rc, _out, err = run(["dnf", "-q", "list", "--available", package], timeout=300)
    return rc == 0, "" if "No matching Packages" in err else last_line(err)


def candidate(package, options):
    """Would apt install the package, by the lists that it has?"""
    rc, out, _err = run(["apt-cache", "policy", *options, package])
    return rc == 0 and "Candidate:" in out and "Candidate: (none)" not in out


# Whether a package can be had, and the package with the headers of a kernel.
KNOWS = {"apt": apt_knows, "dnf": dnf_knows}
HEADERS = {
    "apt": lambda release: "linux-headers-" + release,
    "dnf": lambda release: rpm_headers(release)[0].replace("=", "-"),
}


def kernel_headers(modules_root="/lib/modules"):
    """DKMS builds the driver against the running kernel's headers: are they there, or can they be had?"""
    release = platform.release()
    build = os.path.join(modules_root, release, "build")
    if os.path.isdir(build):
        return [finding("kernel headers", True, build, f"headers of {release}")]
    family = families.here()
    package = HEADERS[family.name](release)
    known, error = KNOWS[family.name](package)
    seen = f"{package} can be installed" if known else f"no {build}, and the repositories have no package {package}"
    if error and not known:
        seen += f" ({error})"
    return [
        finding(
            "kernel headers",
            known,
            seen,
            f"headers of the running kernel {release}",
            f"The repositories keep headers of current kernels only: {family.upgrades}, reboot, try again, or set "
            "nvidia_driver_reboot_allowed to true and let dgctl do it; for a kernel of your own install its "
            "headers.",
        )
    ]


def secure_boot():
    """A module that DKMS built loads under Secure Boot only if the host's own key is enrolled."""
    return preflight_boot.signer()


def clock(controller_time, max_offset_s):
    """Signed links, TLS and licences all read the clock."""
    offset = time.time() - controller_time
    found = [
        finding(
            "clock",
            abs(offset) <= max_offset_s,
            f"{offset:+.0f} s from the controller",
            f"within {max_offset_s} s",
            "Set the clock: timedatectl set-ntp true (package systemd-timesyncd or chrony), then timedatectl.",
        )
    ]
    _rc, out, _err = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], timeout=10)
    synchronised = out.strip() == "yes"
    found.append(
        finding(
            "time synchronisation",
            True if synchronised else None,
            out.strip() or "unknown",
            "yes",
            f"The clock is right now but nothing keeps it so: {packages_manager.install(families.here().timekeeper)}.",
        )
    )
    return found
