#!/usr/bin/python
"""Ansible module: APT packages at given versions, held, in one transaction that is looked at first."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_packages
short_description: Installs packages in one guarded transaction, and holds them
description:
  - Does in one call what a serving host needs and C(ansible.builtin.apt) does in five or not at all. It
    finishes a dpkg run that was interrupted, waits for the lock, fetches lists only when something must be
    installed that they do not offer, rehearses the transaction and refuses it when it would touch or remove
    what it must not, installs, and holds.
  - An installed package that satisfies the wish is left at its version.
  - In check mode a package that no configured repository offers yet counts as one that would be
    installed.
options:
  packages:
    description: Names, or C(name=version); a version may end in C(*), as in C(nvidia-open=580.*).
    type: list
    elements: str
    required: true
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
  may_remove:
    description: Patterns of packages that the transaction may remove; it is refused when it would remove
      any other.
    type: list
    elements: str
    default: []
  replaces:
    description: Patterns of installed packages that give way to O(packages) in the same transaction.
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
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Install the driver
  apt_packages:
    packages: ["nvidia-open=580.*", linux-headers-6.12.48+deb13-amd64]
    must_not_touch: ["linux-image-*"]
    same_version_as: nvidia-open
    hold: true
"""

RETURN = r"""
installed:
  description: Versions of the wanted packages after the call.
  type: dict
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

from ansible.module_utils.apt_transaction import Transaction
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.outcome import fail


def main():
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "required": True},
            "hold": {"type": "bool"},
            "same_version_as": {"type": "str"},
            "must_not_touch": {"type": "list", "elements": "str", "default": []},
            "may_remove": {"type": "list", "elements": "str", "default": []},
            "replaces": {"type": "list", "elements": "str", "default": []},
            "lists_max_age_s": {"type": "int", "default": 86400},
            "lock_timeout_s": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    transaction = Transaction(module.params, module.check_mode, lambda what, fix: fail(module, what, fix))
    repaired = transaction.finish_interrupted()
    steps = transaction.install()
    released_or_held, held = transaction.hold()
    diff = "".join(step + "\n" for step in steps + released_or_held)
    module.exit_json(
        changed=bool(repaired or steps or released_or_held),
        transaction=steps,
        held=held,
        installed=transaction.wanted_versions(),
        diff={"before": "", "after": diff} if diff else {},
    )


if __name__ == "__main__":
    main()
