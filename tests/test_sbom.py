"""bin/sbom: the wheel's bill of materials has what the lock pins, and nothing of the tests. Two minutes: for `bin/test --all`."""

import json
import os
import re
import subprocess
import tomllib

import pytest

from tests.paths import PROJECT

pytestmark = pytest.mark.skipif(not os.environ.get("DGCTL_TEST_ALL"), reason="bin/test --all runs it")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_names_what_the_wheel_brings_along(tmp_path):
    file = tmp_path / "dgctl.cdx.json"
    subprocess.run([PROJECT / "bin/sbom", file], check=True)
    bill, project = json.loads(file.read_text()), tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert bill["bomFormat"] == "CycloneDX" and bill["metadata"]["component"]["name"] == "dgctl"
    pinned = re.findall(r"(?m)^([\w.-]+)==(\S+)", (PROJECT / "requirements.txt").read_text())  # some twice, by marker
    found = {(_plain(each["name"]), each["version"]) for each in bill["components"]}
    assert found <= {(_plain(name), version) for name, version in pinned}
    names = {name for name, _ in found}
    desired = {_plain(re.match(r"[\w.-]+", each)[0]) for each in project["project"]["dependencies"]}
    tests = {_plain(re.match(r"[\w.-]+", each)[0]) for each in project["dependency-groups"]["test"]}
    assert desired <= names and not tests & names
