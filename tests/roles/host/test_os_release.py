"""Which system a host has: as Ansible's own facts say it, wherever it is asked."""

import json
import subprocess
import sys

import pytest
from ansible.module_utils.host import os_release

from dgctl.content import systems

SYSTEMS = list(systems.table().values())
NAMES = ("ansible_distribution", "ansible_distribution_major_version", "ansible_pkg_mgr")


def test_every_system_of_the_table_is_one_that_os_release_can_name():
    for entry in SYSTEMS:
        for name, distribution in entry["distributions"].items():
            release = {"ID": name, "VERSION_ID": entry["versions"][0], "PRETTY_NAME": entry["name"]}
            found = os_release.facts(SYSTEMS, release)
            assert (found["ansible_distribution"], found["ansible_pkg_mgr"]) == (distribution, entry["packages"])
    assert os_release.facts(SYSTEMS, {"ID": "slackware", "VERSION_ID": "15"}) == {}


def test_it_is_what_setup_says_of_this_machine():
    setup = [sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", "setup", "-c", "local"]
    subset = "gather_subset=!all,!min,distribution,pkg_mgr"
    text = subprocess.run([*setup, "-a", subset], capture_output=True, text=True, check=True).stdout
    known = json.loads(text[text.index("{") :])["ansible_facts"]
    found = systems.facts({key: os_release.fields().get(key, "") for key in ("ID", "VERSION_ID")})
    if not found:
        pytest.skip("this machine's system is not in the table")
    # Debian's point release is in no field of os-release, and nothing is chosen by it.
    assert known["ansible_distribution_version"].split(".")[0] == found["ansible_distribution_version"].split(".")[0]
    assert {name: found[name] for name in NAMES} == {name: known[name] for name in NAMES}


def test_quoted_fields_and_a_host_without_any(tmp_path):
    path = tmp_path / "os-release"
    path.write_text("NAME=\"Rocky Linux\"\n\nID='rocky'\nVERSION_ID=9.6\n# comment\n")
    assert os_release.fields(path) == {"NAME": "Rocky Linux", "ID": "rocky", "VERSION_ID": "9.6"}
    assert os_release.fields(tmp_path / "none") == {}


def test_the_controller_reads_the_same_table():
    ubuntu = {"ID": "ubuntu", "VERSION_ID": "24.04"}
    assert systems.facts(ubuntu) == os_release.facts(SYSTEMS, ubuntu)
    assert systems.facts(ubuntu) is systems.facts(dict(reversed(ubuntu.items())))
    assert systems.facts({}) == systems.facts({"ID": "slackware", "VERSION_ID": "15"}) == {}
