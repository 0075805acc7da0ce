"""The NVIDIA Container Toolkit: its four packages are one version, the wanted one."""

import pytest
from testinfra.host import Host

from dgctl.verify.ask import Answer, ask

GROUPS = ("engine",)
PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
VERSIONS = f"""
for package in {" ".join(PACKAGES)}; do
  if command -v dpkg-query >/dev/null
  then version=$(dpkg-query -W -f '${{Version}}' "$package" 2>/dev/null)
  else version=$(rpm -q --qf '%{{VERSION}}-%{{RELEASE}}' "$package") || version=
  fi
  echo "$package ${{version:-missing}}"
done"""


@pytest.fixture(scope="module")
def toolkit(host: Host) -> Answer:
    """One line a package: its name and version."""
    return ask(host, {"versions": VERSIONS})["versions"]


def test_one_version(toolkit, desired, expect):
    version = str(desired["nvidia_container_toolkit_version"])
    versions = dict(line.split(" ", 1) for line in toolkit.lines)
    install = "apt-get install " + " ".join(f"{package}={version}" for package in PACKAGES)
    one = set(versions) == set(PACKAGES) and set(versions.values()) == {version}
    expect(toolkit.lines or toolkit, f"{version} for each", install, ok=one)
