#!/usr/bin/python
"""Waits until the APIs of this server have no request left."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_idle
short_description: Waits until a server that gets no new requests has finished those it has
description:
  - Asks C(/v1/status) until its three active counters are 0.
  - An API that does not answer says nothing of its requests, and is not idle. Only where its container is known not to run
    are there none.
options:
  apis:
    description: By component (C(api), of several C(api-GROUP)) the address of each API's status on this server.
    type: dict
    required: true
  timeout_s:
    description: Seconds to wait.
    type: int
    required: true
  engine:
    description: Container engine, which knows whether the API's container runs.
    type: str
    choices: [docker, podman]
    default: docker
  silence_s:
    description: Seconds without an answer after which it is not waited for any longer.
    type: int
    default: 20
  silent_allowed:
    description: Whether an API that does not answer is no failure, because it is about to be repaired.
    type: bool
    default: false
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
    apis: {api: "http://127.0.0.1:8080/v1/status"}
    timeout_s: 3600
"""
RETURN = """
left:
  description: Requests that were still active at the end; null where nobody knows.
  returned: always
  type: int
seen:
  description: What tells how many there are, or why nobody knows.
  returned: always
  type: str
seconds:
  description: How long it took.
  returned: always
  type: int
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram import api_health as deepgram_api_health
from ansible.module_utils.deepgram.containers import inspect, last_words, now_at, run
from ansible.module_utils.deepgram.http import get_either, get_json
from ansible.module_utils.host.outcome import fail

EVERY_S = 1
QUIET = 2  # looks in a row without a request: one may come between the proxies' reload and the first look
# "Error response from daemon: No such container: x" (Docker); 'no such container "x"', "no such object" (Podman)
_NONE = re.compile(r"no such (container|object)|no container with name", re.IGNORECASE)


def active(apis, engine):
    """(requests that the APIs have now, what tells so); None where nobody knows of one of them."""
    found = [active_of(f"deepgram-{component}", url, engine) for component, url in apis.items()]
    unknown = [seen for count, seen in found if count is None]
    if unknown:
        return None, "; ".join(unknown)
    return sum(count for count, _ in found), "; ".join(seen for _, seen in found)


def running_at(component, url, engine):
    """Where an API answers that may have been started with another port than it is to have."""
    found = inspect(engine, f"deepgram-{component}")
    return (now_at(component, url, found["ports"]) if found else url) or url


def active_of(container, url, engine):
    """The same of one API."""
    reported, why = get_json(url, timeout=5, ask=get_either)
    count = deepgram_api_health.active(reported)
    if count is not None:
        return count, url
    why = f"{url}: {why or 'its answer counts no requests'}"
    rc, out, err = run([engine, "container", "inspect", "--format={{.State.Running}}", container], check=False)
    if rc == 0 and out.strip() == "false":
        return 0, f"the container {container} does not run"
    if rc != 0 and _NONE.search(err):
        return 0, f"there is no container {container}"
    return None, why if rc == 0 else f"{why}; {engine}: {last_words(err, 1)}"


def wait(apis, engine, timeout_s, silence_s):
    """(requests left or None, what tells so, seconds waited)."""
    started, heard, quiet = time.monotonic(), time.monotonic(), 0
    while True:
        left, seen = active(apis, engine)
        quiet = quiet + 1 if left == 0 else 0
        now = time.monotonic()
        heard = heard if left is None else now
        silent = left is None and now - heard >= silence_s
        if quiet >= QUIET or silent or (left != 0 and now - started >= timeout_s):
            return left, seen, int(now - started)
        time.sleep(EVERY_S)


def main():
    module = AnsibleModule(
        argument_spec={
            "apis": {"type": "dict", "required": True},
            "timeout_s": {"type": "int", "required": True},
            "engine": {"choices": ["docker", "podman"], "default": "docker"},
            "silence_s": {"type": "int", "default": 20},
            "silent_allowed": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    asked = module.params
    if module.check_mode:
        module.exit_json(changed=False, left=0, seen="", seconds=0)
    apis = {component: running_at(component, url, asked["engine"]) for component, url in asked["apis"].items()}
    left, seen, seconds = wait(apis, asked["engine"], asked["timeout_s"], asked["silence_s"])
    reported = {"left": left, "seen": seen, "seconds": seconds}
    if left is None and not asked["force"] and not asked["silent_allowed"]:
        fail(
            module,
            f"how many requests this server has is not known, so it was left as it is: {seen}",
            "see `docker logs deepgram-api` (or journalctl -u deepgram-api); `dgctl provision` repairs an API that hangs, "
            "and deepgram_drain_force: true goes on whatever it still has",
            **reported,
        )
    if left and not asked["force"]:
        fail(
            module,
            f"{left} requests are not finished after {seconds} s, so this server was left as it is",
            "run again when calls are fewer, raise deepgram_drain_timeout_s, or cut them off with deepgram_drain_force: true",
            **reported,
        )
    module.exit_json(changed=False, **reported)


if __name__ == "__main__":
    main()
