#!/usr/bin/python
"""Checks that a port serves the certificate in a file."""

from __future__ import annotations

DOCUMENTATION = """
module: tls_served
short_description: Checks that a port serves the certificate in a file
description:
  - A reload of a web server succeeds even if the server cannot use its new files; this looks at what clients get.
  - Changes nothing.
options:
  host:
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
    description: PEM file whose first certificate has to be served.
    type: path
    required: true
  timeout_s:
    description: Seconds to wait for it.
    type: int
    default: 20
attributes:
  check_mode:
    support: full
    details: In check mode nothing is looked at, because nothing was changed.
  diff_mode:
    support: none
"""
EXAMPLES = """
- name: Check the certificate
  tls_served: {host: 127.0.0.1, port: 443, server_name: gpu1, certificate: /etc/nginx/tls/deepgram.crt}
"""
RETURN = """
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram_tls import first_certificate, served_certificate


def seen(params):
    """What is wrong with what the port serves, or an empty string."""
    try:
        served = served_certificate(params["host"], params["port"], params["server_name"])
    except OSError as error:
        return f"does not answer: {error}"
    return (
        ""
        if served == first_certificate(params["certificate"])
        else "serves another certificate than the one in the file"
    )


def main():
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "server_name": {"type": "str", "required": True},
            "certificate": {"type": "path", "required": True},
            "timeout_s": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False)
    end = time.monotonic() + module.params["timeout_s"]
    wrong = seen(module.params)
    while wrong and time.monotonic() < end:
        time.sleep(0.5)
        wrong = seen(module.params)
    if wrong:
        where = f"{module.params['host']}:{module.params['port']}"
        listeners = f"ss -ltnp 'sport = :{module.params['port']}'"
        fix = f"see `journalctl -u nginx` and `{listeners}` on the server for what holds the port"
        module.fail_json(msg=f"{where} {wrong} ({module.params['certificate']}). Fix: {fix}.", fix=fix)
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
