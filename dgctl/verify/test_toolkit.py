"""The NVIDIA Container Toolkit: its four packages are one version, the wanted one."""

import pytest
from testinfra.host import Host

from dgctl.verify.ask import ask

pytestmark = pytest.mark.groups("node", "engine")
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


def test_one_version(host: Host, wanted, expect):
    version, said = (
        str(wanted["nvidia_container_toolkit_version"]),
        ask(host, {"versions": VERSIONS})["versions"],
    )
    versions = dict(line.split(" ", 1) for line in said.lines)
    install = "apt-get install " + " ".join(f"{package}={version}" for package in PACKAGES)
    one = set(versions) == set(PACKAGES) and set(versions.values()) == {version}
    expect(said.lines or said, f"{version} for each", install, ok=one)
