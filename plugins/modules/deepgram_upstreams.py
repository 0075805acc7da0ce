#!/usr/bin/python
"""Takes Deepgram servers out of a proxy's service and back, and tells how each of them is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deepgram_upstreams
short_description: Takes Deepgram servers out of a proxy's service and back
description:
  - Runs on a proxy. A drained server gets no new requests from it; those that it has go on, streams too.
  - Works before the role nginx_proxy ever ran there - then it leaves marks, which count from the first run on.
options:
  state:
    description: >-
      V(drained) and V(undrained) return when no worker of NGINX that would do otherwise takes requests any more.
      V(report) changes nothing. V(running) is for the role - the list is up to date and its unit runs as its files say.
    type: str
    choices: [drained, undrained, report, running]
    default: report
  names:
    description: The servers, by their names in the inventory.
    type: list
    elements: str
    default: []
  reason:
    description: Why they are drained. The mark of an operator is not replaced by one with another reason.
    type: str
    choices: [operator, rollout, failed]
    default: operator
  note:
    description: A sentence kept with the mark.
    type: str
    default: ""
  reads:
    description: For V(running), the files that the unit reads when it starts.
    type: list
    elements: path
    default: []
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = r"""
- name: Give gpu1 no new requests
  deepgram_upstreams:
    state: drained
    names: [gpu1]
    reason: rollout
"""
RETURN = r"""
installed:
  description: Whether the role nginx_proxy has run here.
  returned: success
  type: bool
members:
  description: >-
    By name of a server C({state, reason, note, since, health, active, address, known}), state being up, down or
    drained; known is false for a mark of a server that this proxy has not in its list.
  returned: success
  type: dict
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram.marks import Marks
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.systemd import properties, restart
from ansible.module_utils.host.units import is_active, is_enabled, is_older

PROGRAM = "/usr/local/lib/deepgram/deepgram-upstreams"
CONFIG = "/etc/nginx/deepgram/upstreams.json"
KEPT = "/var/lib/deepgram-upstreams"
UNIT = "deepgram-upstreams.service"
FIX = "see `journalctl -u deepgram-upstreams -u nginx` and `nginx -t` on the proxy; `dgctl provision` mends its files"


def ask(module, *words):
    """What the program answers to a command."""
    rc, out, err = run([PROGRAM, *words], timeout=120)
    if rc != 0:
        fail(module, last_line(err) or f"{PROGRAM} ended with {rc}", FIX)
    return json.loads(out)


def installed():
    return os.path.exists(PROGRAM) and os.path.exists(CONFIG)


def would_change(params, members):
    """Whether draining or undraining would change anything, by what is so now."""
    marked = {name for name, member in members.items() if member["state"] == "drained"}
    if params["state"] == "undrained":
        return bool(marked & set(params["names"]))
    return bool(set(params["names"]) - marked)


def mark_alone(params, check_mode):
    """The same without the program: only marks are kept."""
    marks = Marks(KEPT)
    changed = False
    for name in params["names"]:
        if params["state"] == "drained":
            changed |= marks.put(name, params["reason"], params["note"], check_mode)
        elif params["state"] == "undrained":
            changed |= marks.remove(name, check_mode)
    return {"changed": changed, "members": marks.members()}


def work(module):
    params = module.params
    if not installed():
        return mark_alone(params, module.check_mode)
    if params["state"] == "report" or module.check_mode:
        answer = ask(module, "report")
        changed = params["state"] != "report" and would_change(params, answer["members"])
        return {"changed": changed, "members": answer["members"]}
    if not params["names"]:
        return {"changed": False, "members": ask(module, "report")["members"]}
    if params["state"] == "undrained":
        return ask(module, "undrain", "--", *params["names"])
    return ask(module, "drain", f"--reason={params['reason']}", f"--note={params['note']}", "--", *params["names"])


def run_unit(module):
    """Has the unit run, now and at boot, as its files say; True when that was needed."""
    seen = properties(UNIT, "ActiveState", "UnitFileState", "MainPID")
    due = not is_enabled(seen) or not is_active(seen) or is_older(seen, module.params["reads"])
    if module.check_mode or not due:
        return due
    restart(module, UNIT, FIX)
    time.sleep(0.2)
    if not is_active(properties(UNIT, "ActiveState")):
        fail(module, f"{UNIT} does not stay up", FIX)
    return True


def running(module):
    """The role's part: the list is up to date, the unit runs."""
    if module.check_mode:
        return {"changed": not installed() or run_unit(module), "members": {}}
    answer = ask(module, "render")
    return {**answer, "changed": run_unit(module) or answer["changed"]}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["drained", "undrained", "report", "running"], "default": "report"},
            "names": {"type": "list", "elements": "str", "default": []},
            "reason": {"choices": ["operator", "rollout", "failed"], "default": "operator"},
            "note": {"type": "str", "default": ""},
            "reads": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    answer = running(module) if module.params["state"] == "running" else work(module)
    module.exit_json(installed=installed(), **answer)


if __name__ == "__main__":
    main()
