"""The lines of Enterprise Linux in the tables of systems, rendered: packages, streams, repositories, access."""

import configparser
from fnmatch import fnmatchcase

import pytest
from ansible.module_utils.host import os_release

from tests.roles_app.rendering import render, value
from tests.roles_app.systems.test_systems import ROWS, RPMS, SYSTEMS, host

KEYS = RPMS
BRANCHES = [(key, branch) for key in KEYS for branch in SYSTEMS[key]["driver"]["nvidia"]["branches"]]
FLAVOURS = {"open": ("nvidia-open", "open"), "proprietary": ("cuda-drivers", "dkms")}
KERNELS = [
    "kernel",
    "kernel-core",
    "kernel-modules",
    "kernel-modules-core",
    "kernel-64k-core",
    "kernel-uek",
    "kernel-uek-core",
]
HEADERS = ["kernel-devel", "kernel-devel-matched", "kernel-headers", "kernel-uek-devel"]


def driver(name, key, branch="580", **changes):
    return value("nvidia_driver", name, **host(key), nvidia_driver_branch=branch, **changes)


def repository(role, template, key, **changes):
    """The only section of a rendered .repo file."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(render(role, template, **host(key), **changes))
    (section,) = parser.sections()
    return dict(parser[section])


@pytest.mark.parametrize("distribution", ["rhel", "rocky", "almalinux", "ol"])
@pytest.mark.parametrize("key", KEYS)
def test_every_distribution_and_point_release_finds_its_line(key, distribution):
    version = key[2:] + ".4"
    found = os_release.facts(ROWS, {"ID": distribution, "VERSION_ID": version})
    names = {"rhel": "RedHat", "rocky": "Rocky", "almalinux": "AlmaLinux", "ol": "OracleLinux"}
    assert (found["ansible_distribution"], found["ansible_pkg_mgr"]) == (names[distribution], "dnf")
    facts = {name.removeprefix("ansible_"): fact for name, fact in found.items()}
    assert value("platform", "_platform_key", **host(key) | {"ansible_facts": facts}) == key


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("key", "branch"), BRANCHES)
def test_driver_packages_and_stream(key, branch, flavour):
    lead, stream = FLAVOURS[flavour]
    given = {"_nvidia_driver_flavour": flavour}
    assert driver("_nvidia_driver_requested", key, branch, **given) == [f"{lead}={branch}.*"]
    first = driver("_nvidia_driver_first", key, branch, **given)
    assert first == ([] if key == "el10" else [f"@nvidia-driver:{branch}-{stream}"])
    assert driver("_nvidia_driver_modules", key, branch, **given) == ""
    version = {**given, "nvidia_driver_version": f"{branch}.42.01"}
    assert driver("_nvidia_driver_requested", key, branch, **version) == [f"{lead}={branch}.42.01-*"]


@pytest.mark.parametrize("key", KEYS)
def test_kernels_stay_and_headers_come(key):
    untouched = driver("_nvidia_driver_names", key)["untouched"]
    for names, stays in ((KERNELS, True), (HEADERS, False)):
        assert {any(fnmatchcase(name, pattern) for pattern in untouched) for name in names} == {stays}


@pytest.mark.parametrize("key", KEYS)
def test_driver_repository(key):
    seen = repository("nvidia_driver", "nvidia-driver.repo.j2", key)
    assert seen["baseurl"] == f"https://developer.download.nvidia.com/compute/cuda/repos/rhel{key[2:]}/x86_64/"
    assert (seen["gpgcheck"], seen["repo_gpgcheck"]) == ("1", "0")
    assert seen["gpgkey"] == "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-nvidia-driver"
    row = driver("_nvidia_driver_repository", key)
    # NVIDIA signs the repository of Enterprise Linux 10 with another key, whose whole fingerprint is not known here: its file's
    # sum is (the Dockerfile of Exopticon, NVIDIA_GPGKEY_SUM).
    name, fingerprint = ("CDF6BA43", "") if key == "el10" else ("D42D0685", "610C7B14E068A878070DA4E99CD0A493D42D0685")
    assert row["key_url"].endswith(f"/{name}.pub") and row["fingerprint"] == fingerprint
    assert bool(row.get("key_sha256")) == (not fingerprint), "one of the two pins each key"
    mirror = repository("nvidia_driver", "nvidia-driver.repo.j2", key, nvidia_driver_repository_url="https://m/x")
    assert mirror["baseurl"] == "https://m/x"


@pytest.mark.parametrize("key", KEYS)
def test_epel_and_crb_have_what_the_driver_needs(key):
    number = key[2:]
    seen = repository("nvidia_driver", "nvidia-driver-epel.repo.j2", key)
    assert seen["baseurl"] == f"https://dl.fedoraproject.org/pub/epel/{number}/Everything/x86_64/"
    assert (
        seen["gpgkey"].endswith("RPM-GPG-KEY-nvidia-driver-epel")
        and seen["gpgcheck"] == "1"
        and int(seen["cost"]) > 1000
    )
    own = repository("nvidia_driver", "nvidia-driver-epel.repo.j2", key, nvidia_driver_epel_url="https://m/epel")
    assert own["baseurl"] == "https://m/epel"
    epel = SYSTEMS[key]["epel"]
    assert epel["key_url"].endswith(f"RPM-GPG-KEY-EPEL-{number}") and len(epel["fingerprint"]) == 40
    beside = driver("_nvidia_driver_repository", key)["beside"]
    crb = "powertools" if key == "el8" else "crb"
    assert beside == [crb, f"codeready-builder-for-rhel-{number}-x86_64-rpms", f"ol{number}_codeready_builder"]


@pytest.mark.parametrize("key", KEYS)
def test_files_of_the_driver(key):
    files = driver("_nvidia_driver_files", key)
    assert files == [
        "/etc/modprobe.d/nvidia-driver.conf", "/var/lib/deepgram/nvidia-driver",
        "/etc/pki/rpm-gpg/RPM-GPG-KEY-nvidia-driver-epel", "/etc/yum.repos.d/nvidia-driver-epel.repo",
        "/etc/pki/rpm-gpg/RPM-GPG-KEY-nvidia-driver", "/etc/yum.repos.d/nvidia-driver.repo",
    ]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_docker_comes_from_its_own_repository(key):
    requested = value("docker", "_docker_requested", **host(key))
    assert requested[:3] == ["docker-ce", "docker-ce-cli", "containerd.io"] and "docker-compose-plugin" in requested
    assert value("docker", "_docker_source", **host(key)) == "docker"
    seen = repository("docker", "docker.repo.j2", key)
    assert seen["baseurl"] == f"https://download.docker.com/linux/rhel/{key[2:]}/x86_64/stable"
    assert (seen["gpgcheck"], seen["gpgkey"]) == ("1", "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-docker")
    row = SYSTEMS[key]["docker_repository"]
    assert row["fingerprint"] == "060A61C51B558A7F742B77AAC52FEB6B621E9F35"


@pytest.mark.parametrize("key", KEYS)
def test_the_toolkit_s_index_is_signed_and_its_packages_are_not(key):
    seen = repository("nvidia_container_toolkit", "nvidia-container-toolkit.repo.j2", key)
    assert seen["baseurl"] == "https://nvidia.github.io/libnvidia-container/stable/rpm/$basearch"
    assert (seen["gpgcheck"], seen["repo_gpgcheck"]) == ("0", "1")


@pytest.mark.parametrize("key", KEYS)
def test_podman_and_nginx(key):
    assert value("podman", "_podman_requested", **host(key)) == [
        "podman",
        "crun",
        "conmon",
        "netavark",
        "aardvark-dns",
        "nftables",
    ]
    requested = value("nginx_proxy", "_nginx_proxy_requested", **host(key))
    assert requested == (["@nginx:1.24"] if key == "el8" else []) + ["nginx", "openssl", "policycoreutils-python-utils"]
    assert "@nginx:1.24" not in value("nginx_proxy", "_nginx_proxy_packages", **host(key))
    assert value("nginx_proxy", "_nginx_proxy_main", **host(key)) == "/etc/nginx/deepgram-main.conf"
    assert value("platform", "_platform_family", **host(key))["confined"]
