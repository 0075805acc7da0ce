"""A switch of the kernel module's flavour, on every line of the tables: what goes is all of the other, and nothing else."""

from fnmatch import fnmatchcase

import pytest

from tests.roles_app.rendering import value
from tests.roles_app.systems.test_systems import SYSTEMS, host

LINES = [
    (key, source, branch)
    for key, system in SYSTEMS.items()
    for source, row in system["driver"].items()
    for branch in row["branches"]
]
FLAVOURS = ("open", "proprietary")
# How Ubuntu's meta packages and kernels are called.
KERNELS = ("generic", "generic-hwe-24.04", "oracle", "oem-24.04", "aws", "6.8.0-45-generic", "6.8.0-1013-oracle")
# Of no flavour: they serve both, or are no driver.
SHARED = (
    *("nvidia-driver", "nvidia-utils-{0}-server", "nvidia-utils-{0}", "nvidia-kernel-common-{0}-server"),
    *("nvidia-kernel-common", "nvidia-kernel-support", "libnvidia-compute-{0}-server", "nvidia-compute-utils-{0}"),
    *(
        "nvidia-firmware-{0}-server-{0}.42.01",
        "nvidia-fabricmanager-{0}",
        "nvidia-driver-pinning-{0}",
        "nvidia-modprobe",
    ),
    *("linux-image-generic", "linux-modules-6.8.0-45-generic", "linux-signatures-nvidia-6.8.0-45-generic"),
    *("nvidia-container-toolkit", "nvidia-driver-cuda", "nvidia-settings", "kmod"),
)


def driver(name, key, source, branch, flavour):
    given = {"nvidia_driver_source": source, "nvidia_driver_branch": branch, "_nvidia_driver_flavour": flavour}
    return value("nvidia_driver", name, **host(key), **given)


def brought(key, source, branch, flavour):
    """What a flavour alone brings to a host, as the vendors' packages depend on each other; written out."""
    dash = "-open" if flavour == "open" else ""
    if source == "distribution":
        of = f"{branch}-server{dash}"
        metas = [f"nvidia-{name}-{of}" for name in ("headless-no-dkms", "kernel-source")]
        # A person may have chosen these before: the desktop's packages too, or modules that DKMS builds.
        others = [f"nvidia-{name}-{of}" for name in ("driver", "headless", "dkms")]
        desktop = [f"nvidia-{name}-{branch}{dash}" for name in ("driver", "dkms", "headless-no-dkms")]
        built = [f"linux-{kind}-nvidia-{one}-{kernel}" for kind in ("modules", "objects")
                 for one in (of, f"{branch}{dash}") for kernel in KERNELS]  # fmt: skip
        return [*metas, *others, *desktop, *built]
    lead = {"open": "nvidia-open", "proprietary": "cuda-drivers"}[flavour]
    if key.startswith("el"):
        return [lead, {"open": "kmod-nvidia-open-dkms", "proprietary": "kmod-nvidia-latest-dkms"}[flavour]]
    if key.startswith("debian"):
        return [lead, {"open": "nvidia-kernel-open-dkms", "proprietary": "nvidia-kernel-dkms"}[flavour]]
    if int(branch) >= 590:
        return [lead, f"nvidia-dkms{dash}", f"nvidia-kernel-source{dash}"]
    return [f"{lead}-{branch}", *(f"nvidia-{name}-{branch}{dash}" for name in ("driver", "dkms", "kernel-source"))]


def goes(name, patterns):
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("key", "source", "branch"), LINES)
def test_all_of_the_other_flavour_goes(key, source, branch, flavour):
    """Whatever the source that it came from: a switch may be one of both."""
    patterns = driver("_nvidia_driver_other_flavour", key, source, branch, flavour)
    other = FLAVOURS[1 - FLAVOURS.index(flavour)]
    for _, origin, number in (line for line in LINES if line[0] == key):
        assert [name for name in brought(key, origin, number, other) if not goes(name, patterns)] == []


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("key", "source", "branch"), LINES)
def test_nothing_else_goes(key, source, branch, flavour):
    """Of what is wanted, what it brings, and what serves both."""
    patterns = driver("_nvidia_driver_other_flavour", key, source, branch, flavour)
    desired = [
        request.partition("=")[0] for request in driver("_nvidia_driver_requested", key, source, branch, flavour)
    ]
    assert desired[0] in brought(key, source, branch, flavour)
    modules = driver("_nvidia_driver_modules", key, source, branch, flavour)
    built = [f"{modules}-{kernel}" for kernel in KERNELS if modules]
    first = driver("_nvidia_driver_first", key, source, branch, flavour)
    stays = [*desired, *built, *first, *brought(key, source, branch, flavour), *(one.format(branch) for one in SHARED)]
    assert [name for name in stays if goes(name, patterns)] == []


def test_every_line_is_one_of_those_above():
    """A system or a source that is new in the table needs its names in `brought`."""
    assert {key.rstrip("0123456789") for key in SYSTEMS} == {"debian", "ubuntu", "el"}
    assert {(source, key[:6]) for key, source, _ in LINES if source == "distribution"} == {("distribution", "ubuntu")}
