"""What Deepgram's containers may do: the same of the API, the Engine and the licence proxy, with Docker and with Podman."""

import pytest
import yaml

from tests.roles_app.conftest import ROOT, load
from tests.roles_app.rendering import render, value

IMAGES = {
    "images": {name: {"reference": f"q/{name}@sha256:1"} for name in ("api", "engine", "license-proxy")},
    "driver_version": "580",
}
KNOWN = {"__deepgram_images": IMAGES, "__license_proxy_images": IMAGES}
QUADLETS = [
    ("deepgram", "deepgram-api.container.j2"),
    ("deepgram", "deepgram-engine.container.j2"),
    ("license_proxy", "deepgram-license-proxy.container.j2"),
]
HARD = {
    "deepgram_drop_capabilities": ["ALL"],
    "deepgram_read_only_root": True,
    "deepgram_tmpfs": ["/tmp", "/run/x"],
    "deepgram_pids_limit": 100,
}
SOFT = {"deepgram_no_new_privileges": False, "deepgram_drop_capabilities": [], "deepgram_pids_limit": 0}
# What Podman gives to no container (containers.conf(5), default_capabilities), nor do Deepgram's official files for Podman.
NOT_OF_PODMAN = ["AUDIT_WRITE", "MKNOD", "NET_RAW"]


def services(**changes):
    """The services of both compose files."""
    texts = [render(role, "compose.yaml.j2", **KNOWN, **changes) for role in ("deepgram", "license_proxy")]
    return [service for text in texts for service in yaml.safe_load(text)["services"].values()]


def lines(role, template, **changes):
    layout = load("filter", "deepgram_topology").layout({})
    item = {} if role == "license_proxy" else layout["apis" if "-api." in template else "engines"][0]
    return render(role, template, item=item, **KNOWN, **changes).splitlines()


def test_defaults_take_only_what_the_images_are_known_to_do_without():
    for service in services():
        assert service["security_opt"] == ["no-new-privileges:true"] and service["cap_drop"] == NOT_OF_PODMAN
        assert service["pids_limit"] == 4096 and "read_only" not in service and "tmpfs" not in service
    for quadlet in QUADLETS:
        text = lines(*quadlet)
        assert "NoNewPrivileges=true" in text and "DropCapability=CAP_AUDIT_WRITE CAP_MKNOD CAP_NET_RAW" in text
        assert "PodmanArgs=--pids-limit=4096" in text and "ReadOnly=true" not in text


def test_all_of_it():
    for service in services(**HARD):
        assert service["cap_drop"] == ["ALL"] and service["read_only"] is True
        assert service["tmpfs"] == ["/tmp", "/run/x"] and service["pids_limit"] == 100
    for quadlet in QUADLETS:
        text = lines(*quadlet, **HARD)
        assert {"DropCapability=ALL", "ReadOnly=true", "Tmpfs=/tmp", "Tmpfs=/run/x"} <= set(text)


def test_none_of_it():
    for service in services(**SOFT):
        assert not {"security_opt", "cap_drop", "read_only", "tmpfs", "pids_limit"} & service.keys()
    for quadlet in QUADLETS:
        text = "\n".join(lines(*quadlet, **SOFT))
        assert "NoNewPrivileges" not in text and "DropCapability" not in text and "--pids-limit=-1" in text


def test_with_podman_what_needs_no_gpu_is_confined_and_all_that_it_mounts_is_labelled():
    """Where SELinux is off, Podman makes nothing of a `z`. An Engine has no label: NVIDIA's own advice for a GPU."""
    more = {"deepgram_api_disk_buffer_dir": "/var/buffer", "_deepgram_tls": True}
    for role, template in QUADLETS:
        text = lines(role, template, **more)
        volumes = [line.partition(":")[2] for line in text if line.startswith("Volume=")]
        assert volumes and all(one.endswith((":z", ",z")) for one in volumes) == ("engine" not in template), volumes
        assert ("SecurityLabelDisable=true" in text) == ("engine" in template)


@pytest.mark.parametrize("name", ["no_new_privileges", "drop_capabilities", "read_only_root", "tmpfs", "pids_limit"])
def test_the_licence_proxy_has_the_same_without_the_role_s_defaults(name):
    own = yaml.safe_load((ROOT / "roles/deepgram/defaults/main.yml").read_text())[f"deepgram_{name}"]
    assert value("license_proxy", f"_license_proxy_{name}") == own
