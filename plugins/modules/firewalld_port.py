#!/usr/bin/python
"""Ansible module: a port that firewalld lets in, where firewalld runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: firewalld_port
short_description: Has firewalld let a TCP port in, now and from now on
description:
  - Does nothing where firewalld does not run. The zone is the default one.
  - The change is made at runtime and permanently, without a reload, which would take away what others made at runtime.
options:
  port:
    description: The port.
    type: int
    required: true
extends_documentation_fragment:
  - check_mode.no_diff
"""

EXAMPLES = r"""
- name: Let callers in
  firewalld_port:
    port: 443
"""

RETURN = r""" # """

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, last_line, run

COMMAND = "firewall-cmd"
KINDS = ([], ["--permanent"])


def main():
    module = AnsibleModule(argument_spec={"port": {"type": "int", "required": True}}, supports_check_mode=True)
    port = f"{module.params['port']}/tcp"
    if run([COMMAND, "--state"])[0] != 0:
        module.exit_json(changed=False)
    due = [kind for kind in KINDS if run([COMMAND, *kind, f"--query-port={port}"])[0] != 0]
    for kind in due if not module.check_mode else []:
        rc, out, err = run([COMMAND, *kind, f"--add-port={port}"])
        if rc != 0:
            reported = last_line(err) or last_line(out)
            fix = f"{COMMAND} --list-all on the host shows the zone; open the port there by hand, or stop firewalld."
            fail(module, f"firewalld does not let {port} in: {reported}", fix, reported)
    module.exit_json(changed=bool(due))


if __name__ == "__main__":
    main()
