#!/usr/bin/python
"""Ansible module: which versions of the NVIDIA driver a host could install, asked without touching its package lists."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_driver_offers
short_description: Says which versions of the NVIDIA driver the host's sources offer
description:
  - Fetches the lists into a directory that is thrown away, of the driver's own source alone where there is one.
  - Changes nothing. A host whose source is not there yet offers nothing.
options:
  package:
    description: The package whose version stands for the driver.
    type: str
    required: true
  source:
    description: The file that names the driver's repository; empty where the driver is the distribution's own.
    type: str
    default: ""
extends_documentation_fragment:
  - check_mode
"""

EXAMPLES = r"""
- name: Ask which drivers there are
  nvidia_driver_offers:
    package: nvidia-open
    source: /etc/apt/sources.list.d/nvidia-driver.sources
"""

RETURN = r"""
driver_offers:
  description: Versions without epoch and revision, the oldest first.
  type: list
  returned: success
driver_installed:
  description: The installed version; empty for none.
  type: str
  returned: success
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, run
from ansible.module_utils.packages import families
from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.packages.apt.advice import errors
from ansible.module_utils.packages.versions import numbers, upstream


def of_apt(module, package, source):
    """Versions that apt's sources have."""
    with tempfile.TemporaryDirectory(prefix="driver-offers-") as scratch:
        for folder in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(scratch, folder))
        options = ["-o", f"Dir::State::Lists={scratch}/lists", "-o", f"Dir::Cache={scratch}/cache"]
        options += ["-o", "APT::Sandbox::User=root", "-o", "Acquire::http::Timeout=20"]
        if source:
            options += ["-o", f"Dir::Etc::sourcelist={source}", "-o", "Dir::Etc::sourceparts=-"]
        rc, out, err = run(["apt-get", "update", "-qq", *options], timeout=300, env=dpkg.environment())
        _rc, found, _err = run(["apt-cache", "madison", *options, package], env=dpkg.environment())
    rows = [row.split("|") for row in found.splitlines()]
    versions = [row[1].strip() for row in rows if len(row) >= 3]
    if rc != 0 and not versions:
        what = f"The host cannot ask its package sources which drivers they have: {errors(rc, out, err)}"
        fail(module, what, "apt-get update on the host says more.", errors(rc, out, err))
    return versions


def of_dnf(module, package, source):
    """Versions that dnf's sources have: all that the host has."""
    rc, out, err = run(
        ["dnf", "-q", "--refresh", "repoquery", "--showduplicates", "--qf", "%{version}-%{release}\n", package],
        timeout=600,
    )
    if rc != 0:
        what = f"The host cannot ask its package sources which drivers they have: {errors(rc, out, err)}"
        fail(module, what, "dnf repoquery on the host says more.", errors(rc, out, err))
    return out.split()


def installed_deb(package):
    return upstream(dpkg.installed(dpkg.packages()).get(package, "-"))


def installed_rpm(package):
    rc, out, _err = run(["rpm", "-q", "--qf", "%{VERSION}", package])
    return out.strip() if rc == 0 else ""


OFFERED = {"apt": of_apt, "dnf": of_dnf}
INSTALLED = {"apt": installed_deb, "dnf": installed_rpm}


def main():
    module = AnsibleModule(
        argument_spec={"package": {"type": "str", "required": True}, "source": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    package, source = module.params["package"], module.params["source"]
    versions, family = [], families.here().name
    if not source or os.path.exists(source):
        versions = OFFERED[family](module, package, source)
    offers = sorted({upstream(version) for version in versions}, key=numbers)
    module.exit_json(changed=False, driver_offers=offers, driver_installed=INSTALLED[family](package))


if __name__ == "__main__":
    main()
