"""Whether a server has room for an archive of images, and for what its container engine makes of them."""

import json
import os
import shutil

from ansible.module_utils.containers import loopback
from ansible.module_utils.host.files import existing_parent
from ansible.module_utils.host.outcome import run

SPARE = 1 << 30  # bytes that stay free: what others write meanwhile
STORES = {"docker": "/var/lib/docker", "podman": "/var/lib/containers/storage"}
CONTAINERD = "/var/lib/containerd"
SNAPSHOTTER = "io.containerd.snapshotter.v1"  # docker info: DriverStatus, driver-type


class NoRoom(Exception):
    """Something has no room; `fix` says what to do."""

    def __init__(self, what, fix):
        super().__init__(what)
        self.fix = fix


def filesystem(path):
    """The number of the filesystem that a path is on, or will be."""
    return os.stat(existing_parent(path)).st_dev


def store(engine, configured=""):
    """Where an engine keeps its images: as it says, as it is configured, or where it does so by default."""
    usual = (configured if engine == "docker" else "") or STORES[engine]
    status, text, _ = run([engine, "info", "--format", "{{json .}}"])
    try:
        reported = json.loads(text) if status == 0 else {}
        if engine == "podman":
            return reported["store"]["graphRoot"]
        return CONTAINERD if SNAPSHOTTER in str(reported.get("DriverStatus")) else reported["DockerRootDir"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return usual


def missing(engine, images):
    """The images ({repository, digest, bytes}) that an engine has under neither of their names."""
    return [image for image in images if not any(has(engine, reference) for reference in references(image))]


def references(image):
    return [f"{place}@{image['digest']}" for place in (image["repository"], loopback.local(image["repository"]))]


def has(engine, reference):
    return run([engine, "image", "inspect", reference])[0] == 0


def require(claims):
    """Raises NoRoom where a filesystem has less than what is to come there: [(what, bytes, path, fix)]."""
    by_filesystem = {}
    for claim in claims:
        if claim[1]:
            by_filesystem.setdefault(filesystem(claim[2]), []).append(claim)
    for those in by_filesystem.values():
        needed, place = sum(claim[1] for claim in those) + SPARE, those[0][2]
        free = shutil.disk_usage(existing_parent(place)).free
        if free < needed:
            what = " and ".join(f"{name} ({size / 1e9:.1f} GB at {path})" for name, size, path, _ in those)
            seen = f"no room for {what}: {needed / 1e9:.1f} GB are needed there, and {free / 1e9:.1f} GB are free"
            raise NoRoom(seen, "free space there, or " + ", or ".join(fix for *_, fix in those))
