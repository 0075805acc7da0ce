#!/usr/bin/python
"""Records on the host what a role answers for, so that a later look can tell whether it still holds."""

from __future__ import annotations

DOCUMENTATION = r"""
module: applied_state
short_description: Records on the host what a role answers for
description:
  - The last task of a role declares the things that the role made. Their real state is read and written to a record in
    C(/var/lib/deepgram/applied-state), together with the fingerprint of what was wanted.
  - C(dgctl) compares that record with the host and with what is wanted, and runs only the roles that are not right.
  - A record is no change of the server, so this never reports one.
  - What a role records is what it meant. Where something is not as declared, or a file has the foreign content, mode or
    owner still that it had before the role ran, nothing is recorded and the module fails.
options:
  state:
    description: >-
      V(recorded) writes the record of the role whose task this is. V(begun), once before the first role, marks the
      records of the roles to come as unfinished, so that a run that is killed is continued by the next one.
    type: str
    choices: [recorded, begun]
    default: recorded
  files:
    description: Files, directories and links. Of a file content, mode and owner count; of a directory mode and owner.
    type: list
    elements: path
    default: []
  shared:
    description: >-
      Those of O(files) in which somebody else may have a part, or whose content the role has generated; the role has
      made sure of its part, and what they hold when it ends is right.
    type: list
    elements: path
    default: []
  absent:
    description: Paths at which nothing may be.
    type: list
    elements: path
    default: []
  large_files:
    description: Files too large to be read at each look; size, time of writing, mode and owner count.
    type: list
    elements: path
    default: []
  packages:
    description: Packages; their version counts.
    type: list
    elements: str
    default: []
  held:
    description: Those of O(packages) that the role holds. Whether somebody else holds the others does not count.
    type: list
    elements: str
    default: []
  units:
    description: By unit a list of what must hold - V(active), V(inactive), V(enabled), V(disabled), V(masked).
    type: dict
    default: {}
  read_at_start:
    description: By unit the files that its main process reads when it starts.
    type: dict
    default: {}
  read_at_reload:
    description: By unit the files that its processes read when it is reloaded.
    type: dict
    default: {}
  containers:
    description: Containers that must run; image, definition and health count.
    type: dict
    suboptions:
      engine:
        description: Container engine.
        type: str
        choices: [docker, podman]
        required: true
      names:
        description: By container the files that it reads when it starts.
        type: dict
        required: true
  driver:
    description: The NVIDIA driver; version of module and library, and its GPUs count.
    type: dict
    suboptions:
      persistence:
        description: Whether each GPU must be in persistence mode.
        type: bool
        required: true
  answers:
    description: Addresses (http) on the server that must answer with status 200.
    type: list
    elements: str
    default: []
  reports:
    description: Files in JSON that say how the host is doing; a look hands back what they hold at that moment.
    type: list
    elements: path
    default: []
  tls:
    description: A port that must serve the first certificate in a file.
    type: dict
    suboptions:
      address:
        description: Address to connect to.
        type: str
        required: true
      port:
        description: Port to connect to.
        type: int
        required: true
      server_name:
        description: Name that the client asks for.
        type: str
        required: true
      certificate:
        description: File in PEM.
        type: path
        required: true
      paths:
        description: >-
          By path on which callers are served the servers behind it, by the names that O(tls.members) gives them. A look
          sends each a request without content. They are not asked when the record is made, because a proxy is made
          before the servers behind it.
        type: dict
        default: {}
      members:
        description: File in JSON that says which servers behind the port are up; not given where there is only its own.
        type: path
      credential:
        description: File with the key that the server's own requests show; not given where everybody may ask.
        type: path
  until:
    description: From this moment on (seconds since 1970) the role wants to run again; 0 for never.
    type: int
    default: 0
  role:
    description: The role; set by the action plugin.
    type: str
  host:
    description: The host's name in the inventory; set by the action plugin.
    type: str
    required: true
  desired:
    description: JSON of what dgctl wanted to be applied; set by the action plugin.
    type: str
  begin:
    description: Roles that O(state=begun) marks; all that have a record when it is not given. Set by the action plugin.
    type: list
    elements: str
attributes:
  check_mode:
    support: full
    details: Nothing is read or written.
  diff_mode:
    support: none
"""
EXAMPLES = r"""
- name: Record what this role answers for
  applied_state:
    files: [/etc/docker/daemon.json]
    packages: [docker.io]
    units: {docker.service: [active, enabled]}
    read_at_start: {docker.service: [/etc/docker/daemon.json]}

- name: Note that a run begins
  applied_state:
    state: begun
"""
RETURN = r"""
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host import files as host_files
from ansible.module_utils.host import lease
from ansible.module_utils.host import record as host_record
from ansible.module_utils.host import units as host_units
from ansible.module_utils.host.outcome import fail
from ansible.module_utils.look import recording
from ansible.module_utils.look import things as look_things

SPEC = {
    "state": {"choices": ["recorded", "begun"], "default": "recorded"},
    "files": {"type": "list", "elements": "path", "default": []},
    "shared": {"type": "list", "elements": "path", "default": []},
    "absent": {"type": "list", "elements": "path", "default": []},
    "large_files": {"type": "list", "elements": "path", "default": []},
    "packages": {"type": "list", "elements": "str", "default": []},
    "held": {"type": "list", "elements": "str", "default": []},
    "units": {"type": "dict", "default": {}},
    "read_at_start": {"type": "dict", "default": {}},
    "read_at_reload": {"type": "dict", "default": {}},
    "containers": {
        "type": "dict",
        "options": {
            "engine": {"choices": ["docker", "podman"], "required": True},
            "names": {"type": "dict", "required": True},
        },
    },
    "driver": {"type": "dict", "options": {"persistence": {"type": "bool", "required": True}}},
    "answers": {"type": "list", "elements": "str", "default": []},
    "reports": {"type": "list", "elements": "path", "default": []},
    "tls": {
        "type": "dict",
        "options": {
            "address": {"required": True},
            "port": {"type": "int", "required": True},
            "server_name": {"required": True},
            "certificate": {"type": "path", "required": True},
            "paths": {"type": "dict", "default": {}},
            "members": {"type": "path"},
            "credential": {"type": "path", "no_log": False},
        },
    },
    "until": {"type": "int", "default": 0},
    "role": {"type": "str"},
    "host": {"required": True},
    # One text: of a dict Ansible would hide each value, such as "443", wherever it stands in a result.
    "desired": {"no_log": True},
    "begin": {"type": "list", "elements": "str"},
}


def check(module):
    """Fails for a state of a unit that nobody could compare."""
    for unit, states in module.params["units"].items():
        unknown = [state for state in states if state not in host_units.STATES]
        if unknown:
            fail(
                module,
                f"units: {unit}: {unknown[0]} is no state that can be declared",
                f"use one of {', '.join(host_units.STATES)}.",
                unknown[0],
            )


def record(module):
    """Writes the role's record; fails where it would have what the role did not mean."""
    params = module.params
    things = look_things.record({kind: params[kind] for kind in look_things.KINDS})
    desired = json.loads(params["desired"] or "{}")
    before = host_record.read(params["role"], params["host"])[0]
    found = recording.faults(params, things, before, desired)
    recording.settle_holds(params, things)
    if found:
        what, fix = recording.text(found)
        fail(module, f"{params['role']}: {what}", fix, found[0][1])
    host_record.write(
        params["role"], params["host"], role=params["role"], finished=True, desired=desired, things=things
    )


def main():
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True, required_if=[("state", "recorded", ["role"])])
    params = module.params
    check(module)
    if module.check_mode:
        module.exit_json(changed=False)
    try:
        if params["state"] == "begun":
            host_record.begin(params["begin"], params["host"], host_files.found)
            lease.wait()  # from here on the watchdog changes nothing; what it is at ends first
        else:
            record(module)
    except OSError as error:
        fail(
            module,
            f"The record of what was applied cannot be written: {error}",
            f"see that {host_record.FOLDER} can be written and that its disk is not full, then run again.",
        )
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
