#!/usr/bin/python
"""Ansible module: APT packages at given versions, held, in one transaction that is looked at first."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_packages
short_description: Installs packages in one guarded transaction, and holds them
description:
  - Does in one call what a serving host needs and C(ansible.builtin.apt) does in five or not at all. It
    finishes a dpkg run that was interrupted, waits for the lock, fetches lists only when something must be
    installed that they do not offer, installs, and holds. A transaction that would touch or remove what it
    must not ends before dpkg begins; the rehearsal that follows says why, or allows what may go.
  - An installed package that satisfies the request is left at its version.
  - In check mode a package that no configured repository offers yet counts as one that would be
    installed.
options:
  packages:
    description: Names, or C(name=version); a version may end in C(*), as in C(nvidia-open=580.*).
    type: list
    elements: str
    required: true
  first:
    description: Packages to install in a transaction of their own before O(packages), as those that steer apt
      by its preferences. They are held as O(packages) are.
    type: list
    elements: str
    default: []
  kernel_modules:
    description: Also install packages with built modules, whose names are this, a dash, and the running kernel or the
      flavour of those to come, as in C(linux-modules-nvidia-580-server-open).
    type: str
    default: ""
  hold:
    description: Hold O(packages), or the family of O(same_version_as), against upgrades; false releases
      them.
    type: bool
  same_version_as:
    description: A package; it and every installed package of the same upstream version are held instead
      of O(packages).
    type: str
  must_not_touch:
    description: Patterns of packages that the transaction may not install, upgrade or remove, as in
      C(linux-image-*).
    type: list
    elements: str
    default: []
  lists_max_age_s:
    description: Lists older than this are fetched again before something is installed, seconds.
    type: int
    default: 86400
  lock_timeout_s:
    description: How long to wait for another program (unattended-upgrades) to finish with dpkg, seconds.
    type: int
    default: 600
extends_documentation_fragment:
  - packages
  - check_mode.diff
"""

EXAMPLES = r"""
- name: Install the driver
  apt_packages:
    first: [nvidia-driver-pinning-580]
    packages: ["nvidia-open=580.*"]
    kernel_headers: true
    must_not_touch: ["linux-image-*"]
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
  description: What apt did, or would do, as one word and package name an entry.
  type: list
  returned: success
held:
  description: The packages that are held for this call.
  type: list
  returned: success
"""

from ansible.module_utils.boot.kernel import headers, modules
from ansible.module_utils.packages import module as packages_module
from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.packages.apt.transaction import Transaction


def for_kernel(params, known):
    """Headers that DKMS needs, or modules that the distribution has built."""
    desired = headers(known) if params["kernel_headers"] else []
    return desired + modules(params["kernel_modules"], known)


def main():
    packages_module.run(Transaction, dpkg.installed, for_kernel)


if __name__ == "__main__":
    main()
