#!/usr/bin/python
"""Waits until the API of this server has no request left."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_idle
short_description: Waits until a server that gets no new requests has finished those it has
description:
  - Asks C(/v1/status) until its three active counters are 0.
  - An API that does not answer has nobody left to lose, and counts as idle.
options:
  api_url:
    description: Address of the API on this server.
    type: str
    required: true
  timeout_s:
    description: Seconds to wait.
    type: int
    required: true
  force:
    description: Whether the requests that are left when the time is over may be cut off.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    details: Nothing is waited for.
  diff_mode:
    support: none
"""
EXAMPLES = """
- name: Let the requests of this server end
  deepgram_idle:
    api_url: http://127.0.0.1:8080
    timeout_s: 3600
"""
RETURN = """
left:
  description: Requests that were still active at the end.
  returned: always
  type: int
seconds:
  description: How long it took.
  returned: always
  type: int
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import time

from ansible.module_utils import applied_api_health
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram_http import get_json
from ansible.module_utils.outcome import fail

EVERY_S = 1
QUIET = 2  # looks in a row without a request: one may come between the proxies' reload and the first look


def active(url):
    """Requests that the API has now; 0 when it does not answer."""
    said, _ = get_json(f"{url}/v1/status", timeout=5)
    return applied_api_health.active(said) or 0


def wait(url, timeout_s):
    """(requests left, seconds waited)."""
    began, quiet = time.monotonic(), 0
    while True:
        left = active(url)
        quiet = 0 if left else quiet + 1
        waited = time.monotonic() - began
        if quiet >= QUIET or (left and waited >= timeout_s):
            return left, int(waited)
        time.sleep(EVERY_S)


def main():
    module = AnsibleModule(
        argument_spec={
            "api_url": {"required": True},
            "timeout_s": {"type": "int", "required": True},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, left=0, seconds=0)
    left, seconds = wait(module.params["api_url"], module.params["timeout_s"])
    if left and not module.params["force"]:
        fail(
            module,
            f"{left} requests are not finished after {seconds} s, so this server was left as it is",
            "run again when calls are fewer, raise deepgram_drain_timeout_s, or cut them off with deepgram_drain_force=true",
            left=left,
            seconds=seconds,
        )
    module.exit_json(changed=False, left=left, seconds=seconds)


if __name__ == "__main__":
    main()
