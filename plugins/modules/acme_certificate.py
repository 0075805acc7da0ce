#!/usr/bin/python
"""Has the program run that orders NGINX's certificate by ACME and renews it, or takes it away without a trace."""

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_certificate
short_description: Has a certificate ordered by ACME and renewed by a timer, or takes all of that away
description:
  - With V(present) the program orders what is missing or due and has NGINX serve it, and a timer renews it from then on. Where
    nothing is due nobody is asked.
  - An order that fails is an error, unless a certificate of the same names and authority holds for a while; then it is a warning.
  - With V(absent) timer, settings, certbot's account and its certificates are gone. NGINX's own files stay.
options:
  state:
    description: Whether an ACME authority gives the certificate.
    type: str
    choices: [present, absent]
    required: true
  program:
    description: The program.
    type: path
    default: /usr/local/lib/deepgram/deepgram-acme
  certificate:
    description: NGINX's certificate.
    type: path
    default: /etc/nginx/tls/deepgram.crt
  log:
    description: The folder of certbot's log.
    type: path
    default: /var/log/deepgram-acme
  paths:
    description: For V(absent), files and folders to remove.
    type: list
    elements: path
    default: []
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = r"""
- name: Have a certificate
  acme_certificate:
    state: present
"""
RETURN = r"""
reason:
  description: Why a certificate was ordered, or in check mode would be; an empty string for no reason.
  returned: success
  type: str
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import json
import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.openssl import OpensslFailed, ends_within
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.systemd import properties, systemctl
from ansible.module_utils.host.units import is_active, is_enabled

TIMER, SERVICE = "deepgram-acme.timer", "deepgram-acme.service"
UNITS = "/etc/systemd/system"
DAYS = 14  # with fewer left doctor and verify call a certificate unhealthy
ORDER_S = 1500
FIX = f"see `systemctl status {TIMER} {SERVICE}` on the server"


def timer_due():
    """Whether the timer must be started or enabled, or its files be read again."""
    seen = properties(TIMER, "ActiveState", "UnitFileState", "NeedDaemonReload")
    return not (is_active(seen) and is_enabled(seen) and seen.get("NeedDaemonReload") == "no")


def asked(module, command):
    """(exit code, what the program says as JSON, its error)."""
    rc, out, err = run([module.params["program"], command], timeout=ORDER_S)
    try:
        reported = json.loads(last_line(out) or "{}")
    except ValueError:
        reported = {}
    return rc, reported, last_line(err)


def holds(module, why):
    """Whether what NGINX has is of the right names and authority, and ends not too soon."""
    try:
        return why.startswith("it ends") and not ends_within(module.params["certificate"], DAYS)
    except OpensslFailed:
        return False


def refused(module, why, error):
    """An order that failed: an error, or a warning while there is time."""
    what, _, fix = error.partition(". Fix: ")
    if not holds(module, why):
        fail(
            module,
            f"no certificate from the ACME authority: {what}",
            fix or f"see {module.params['log']}/letsencrypt.log",
            what,
        )
    module.warn(f"the certificate could not be renewed ({why}): {what}. Fix: {fix}")


def present(module):
    """(changed, why one is ordered)."""
    if module.check_mode and not os.path.exists(module.params["program"]):
        return True, "there is none"
    rc, reported, error = asked(module, "due")
    if rc != 0:
        if module.check_mode:
            return True, "there is none"
        refused(module, "", error)
    why, needed = reported.get("order", ""), bool(reported.get("order") or reported.get("deploy"))
    units = timer_due()
    if module.check_mode:
        return needed or units, why
    if needed:
        rc, _reported, error = asked(module, "renew")
        if rc != 0:
            refused(module, why, error)
    if units:
        systemctl(module, TIMER, FIX, "daemon-reload")
        systemctl(module, TIMER, FIX, "enable", TIMER)
        systemctl(module, TIMER, FIX, "restart", TIMER)
    return units or (needed and rc == 0), why


def absent(module):
    """Takes everything away; True when there was something."""
    there = [path for path in module.params["paths"] if os.path.lexists(path)]
    if not there or module.check_mode:
        return bool(there)
    if os.path.lexists(f"{UNITS}/{TIMER}"):
        systemctl(module, TIMER, FIX, "disable", "--now", TIMER)
    for path in there:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    systemctl(module, TIMER, FIX, "daemon-reload")
    run(["systemctl", "reset-failed", SERVICE])
    return True


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["present", "absent"], "required": True},
            "program": {"type": "path", "default": "/usr/local/lib/deepgram/deepgram-acme"},
            "certificate": {"type": "path", "default": "/etc/nginx/tls/deepgram.crt"},
            "log": {"type": "path", "default": "/var/log/deepgram-acme"},
            "paths": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    changed, why = present(module) if module.params["state"] == "present" else (absent(module), "")
    module.exit_json(changed=changed, reason=why)


if __name__ == "__main__":
    main()
