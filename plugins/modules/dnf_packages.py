#!/usr/bin/python
"""Ansible module: RPM packages at given versions, locked, in one transaction that is looked at first."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dnf_packages
short_description: Installs packages in one guarded transaction, and holds them
description:
  - Does in one call what a serving host needs and C(ansible.builtin.dnf) does in five or not at all. It
    finishes a dnf run that was interrupted, waits for the lock, enables module streams, installs, and holds by
    versionlock. A transaction that would touch or remove what it must not ends before rpm begins.
  - An installed package that satisfies the request is left at its version.
  - In check mode a package that no configured repository offers yet counts as one that would be
    installed.
options:
  packages:
    description: Names, or C(name=version); a version may end in C(*), as in C(nvidia-open=580.*). C(@module:stream)
      has that stream of a module enabled, in the place of another one.
    type: list
    elements: str
    required: true
  first:
    description: What to have before O(packages), in a transaction of its own, as module streams.
    type: list
    elements: str
    default: []
  kernel_modules:
    description: Taken as C(apt_packages) takes it; no distribution with dnf builds these modules.
    type: str
    default: ""
  hold:
    description: Lock O(packages), or the family of O(same_version_as), at their versions, also against
      dnf-automatic; false releases them.
    type: bool
  same_version_as:
    description: A package; it and every installed package of the same upstream version are held instead
      of O(packages). Nothing that has one of its unwanted versions is installed.
    type: str
  must_not_touch:
    description: Patterns of packages that the transaction may not install, upgrade or remove, as in
      C(kernel-core).
    type: list
    elements: str
    default: []
  lists_max_age_s:
    description: Metadata of repositories that is older is fetched again before something is installed, seconds.
    type: int
    default: 86400
  lock_timeout_s:
    description: How long to wait for another program (dnf-automatic) to finish with dnf, seconds.
    type: int
    default: 600
  enable_repositories:
    description: Repositories that are disabled on the host, and that this transaction may use, by id.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - packages
  - check_mode.diff
"""

EXAMPLES = r"""
- name: Install the driver
  dnf_packages:
    first: ["@nvidia-driver:580-open"]
    packages: ["nvidia-open=580.*"]
    kernel_headers: true
    must_not_touch: [kernel, kernel-core]
    same_version_as: nvidia-open
    hold: true
"""

RETURN = r"""
installed:
  description: Versions of the wanted packages after the call.
  type: dict
  returned: success
along:
  description: Versions of those O(along) that are installed after the call, by the request as it was given.
  type: dict
  returned: success
along_held:
  description: The packages of O(along) that are held for this call.
  type: list
  returned: success
added:
  description: Packages that were not installed before this call.
  type: list
  returned: success
transaction:
  description: What dnf did, or would do, as one word and package name an entry.
  type: list
  returned: success
held:
  description: The packages that are held for this call.
  type: list
  returned: success
"""

from ansible.module_utils.boot.kernel import rpm_headers
from ansible.module_utils.packages import module as packages_module
from ansible.module_utils.packages.dnf.transaction import Transaction
from ansible.module_utils.packages.rpm import database as rpm_database


def for_kernel(params, _known):
    """Headers that DKMS needs."""
    return rpm_headers() if params["kernel_headers"] else []


def main():
    repositories = {"type": "list", "elements": "str", "default": []}
    packages_module.run(Transaction, rpm_database.installed, for_kernel, enable_repositories=repositories)


if __name__ == "__main__":
    main()
