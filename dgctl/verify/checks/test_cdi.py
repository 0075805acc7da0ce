"""The CDI file that hands GPUs to containers: there, made for the loaded driver, and the only one."""

import re

import pytest
from testinfra.host import Host

from dgctl.verify import gpus
from dgctl.verify.ask import Answer, ask

GROUPS = ("engine",)
REFRESH = "systemctl restart nvidia-cdi-refresh.service; nvidia-ctk cdi list"
_LIBRARY = re.compile(r"/lib(?:cuda|nvidia-ml)\.so\.(\d+\.\d+(?:\.\d+)?)")
_DEVICE = re.compile(r"^\s*-?\s*\"?name\"?:\s*[\"']?([\w:-]+)[\"']?,?\s*$", re.MULTILINE)


@pytest.fixture(scope="module")
def cdi(host: Host) -> dict[str, Answer]:
    return ask(
        host,
        {
            "file": "cat /var/run/cdi/nvidia.yaml",
            "second": "ls /etc/cdi/nvidia.yaml /etc/cdi/nvidia.json 2>/dev/null || true",
            "refresh": "systemctl is-enabled nvidia-cdi-refresh.path",
        },
    )


def test_driver_version(cdi, driver, expect):
    """The libraries that the file names are the loaded driver's."""
    loaded, versions = driver["loaded"], set(_LIBRARY.findall(cdi["file"].text))
    seen = versions if cdi["file"].ok else cdi["file"]
    expect(seen, loaded, REFRESH, ok=bool(loaded.text) and versions == {loaded.text})


def test_every_gpu(cdi, driver, expect):
    """Each GPU has a device of its own (by UUID or number), no other GPU has one, and there is `all`."""
    named = set(_DEVICE.findall(cdi["file"].text))
    uuids = gpus.listed(driver["listed"].lines)
    missing = [uuid for number, uuid in enumerate(uuids) if not {uuid, str(number)} & named]
    foreign = {name for name in named if name.startswith("GPU-")} - set(uuids)
    seen = named if cdi["file"].ok else cdi["file"]
    expect(seen, ["all", *uuids], REFRESH, ok=bool(uuids) and not missing and not foreign and "all" in named)


def test_only_one(cdi, expect):
    """A second file in /etc/cdi goes stale at the next driver upgrade and breaks containers."""
    expect(cdi["second"].lines, [], f"rm {' '.join(cdi['second'].lines)}")


def test_refreshed(cdi, expect):
    """systemd rewrites the file when the driver changes."""
    state = cdi["refresh"].out.strip() or str(cdi["refresh"])
    expect(state, "enabled", "systemctl enable --now nvidia-cdi-refresh.path")
