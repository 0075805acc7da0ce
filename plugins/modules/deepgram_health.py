#!/usr/bin/python
"""Waits until the Deepgram services on this server work, and says what keeps them from it."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_health
short_description: Waits until Deepgram works, and proves that it runs as configured
description:
  - Waits for the Engine's metrics, for the API's connection to the Engine, and for the API to be Ready or Healthy;
    of a part that does not run here nothing is asked.
  - Then reads what both containers said while they started, and fails on a configuration that was not read, on
    inference without a GPU, on models that were refused, and on a limit of requests other than the one configured.
  - Changes nothing.
options:
  names:
    description: By part (C(engine), C(api)) the component whose container it is, where a server has several.
    type: dict
    default: {}
  api_url:
    description: Address of the API on this server; empty where none runs.
    type: str
    default: ""
  metrics_url:
    description: Address of the Engine's metrics server on this server; empty where no Engine runs.
    type: str
    default: ""
  engine_address:
    description: host:port at which the Engine listens for the APIs of other servers, if it does.
    type: str
    default: ""
  license_proxy_url:
    description: Address of a License Proxy's state on this server, if one is asked about.
    type: str
    default: ""
  billing_url:
    description: Address at which a Billing on this server tells its certificates, if one is asked about.
    type: str
    default: ""
  billing_address:
    description: host:port at which it gives licences, over TLS.
    type: str
    default: ""
  max_active_requests:
    description: The limit that the Engine must report; empty or null for none.
    type: str
  gpu_required:
    description: Whether inference on the CPU is a failure.
    type: bool
    default: true
  timeout_s:
    description: Seconds that the Engine may take to load its models.
    type: int
    default: 600
  env_file:
    description: File with the secrets that messages must not show.
    type: path
    required: true
  models_dir:
    description: Directory that holds the model files.
    type: path
    default: /var/lib/deepgram/models
attributes:
  check_mode:
    support: full
    details: In check mode nothing is waited for, because nothing was started.
  diff_mode:
    support: none
extends_documentation_fragment:
  - containers
"""
EXAMPLES = """
- name: Wait until Deepgram works
  deepgram_health:
    engine: docker
    api_url: http://127.0.0.1:8080
    metrics_url: http://127.0.0.1:9991
    env_file: /etc/deepgram/deepgram.env
    models_dir: /var/lib/deepgram/models
"""
RETURN = """
findings:
  description: A list of check, verdict (pass, fail or skip), seen, expected and fix.
  returned: always
  type: list
  elements: dict
seconds:
  description: How long it took until the services were ready.
  returned: success
  type: int
value:
  description: The last lines of the unhealthy container's log.
  returned: failure
  type: str
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram.api_health import SERVING, state
from ansible.module_utils.deepgram.containers import inspect, log_head, log_tail, secrets_in
from ansible.module_utils.deepgram.http import engine_load, get, get_json, metrics, parse_time, speaks_tls
from ansible.module_utils.deepgram.log import events, models
from ansible.module_utils.deepgram.signatures import HARMLESS, TABLE, diagnose, named

RELAYING = ("Connected", "TrustBased", "Ready")
# By component what says that it runs here.
PARTS = {"engine": "metrics_url", "api": "api_url", "license-proxy": "license_proxy_url", "billing": "billing_url"}
CRASHES = 3  # restarts after which waiting is in vain
READ = "see that {file} is there and mounted at /config, restart its container on the server, then run again"
# Traps into which a start that looks good may have fallen: check, component, signature of its log, what is expected, fix.
TRAPS = (
    (
        "engine reads its configuration", "engine", "default configuration", "no fallback to a default configuration",
        READ.format(file="/etc/deepgram/engine*/engine.toml"),
    ),
    (
        "api reads its configuration", "api", "default configuration", "no fallback to a default configuration",
        READ.format(file="/etc/deepgram/api*/api.toml"),
    ),
    (
        "license proxy reads its configuration", "license-proxy", "default configuration",
        "no fallback to a default configuration",
        READ.format(file="license-proxy.toml"),
    ),
    (
        "billing reads its configuration", "billing", "default configuration", "no fallback to a default configuration",
        READ.format(file="billing.toml"),
    ),
    ("engine computes on the GPU", "engine", "CPU", "no CPU device", named("CPU").remediation),
    (
        "engine finds its models", "engine", "models unreadable", "a directory of models that can be read",
        named("models unreadable").remediation,
    ),
)  # fmt: skip
LIMIT = (
    "engine limits its requests",
    "see that max_active_requests stands before every table in /etc/deepgram/engine/engine.toml, then run again",
)


class NotReady(Exception):
    """Why the services do not work, and which container to look at."""

    def __init__(self, what, component):
        super().__init__(what)
        self.component = component


def parts(params):
    """The components that run here."""
    return [name for name, key in PARTS.items() if params.get(key)]


def look(params):
    """Load of the Engine, None without one. Raises NotReady with what is missing, the Engine's before the API's."""
    load = look_at_engine(params) if params["metrics_url"] else None
    if params["api_url"]:
        look_at_api(params)
    if params["license_proxy_url"]:
        look_at_license_proxy(params)
    if params.get("billing_url"):
        look_at_billing(params)
    return load


def look_at_engine(params):
    text, why = get(f"{params['metrics_url']}/metrics")
    if text is None:
        raise NotReady(f"the Engine's metrics at {params['metrics_url']}/metrics do not answer ({why})", "engine")
    why = speaks_tls(params["engine_address"]) if params["engine_address"] else ""
    if why:
        raise NotReady(f"the Engine does not listen for APIs at {params['engine_address']} ({why})", "engine")
    return engine_load(metrics(text))


def look_at_api(params):
    status, why = get_json(f"{params['api_url']}/v1/status")
    if not isinstance(status, dict):
        raise NotReady(f"the API at {params['api_url']}/v1/status does not answer ({why})", "api")
    link, why = get_json(f"{params['api_url']}/v1/status/engine")
    seen = link.get("engine_connection_status") if isinstance(link, dict) else why
    if seen != "Connected":
        raise NotReady(f"the API is not connected to the Engine (engine_connection_status: {seen})", "api")
    if state(status) not in SERVING:
        raise NotReady(f"the API's system_health is {state(status)}, not Ready or Healthy", "api")


def look_at_license_proxy(params):
    url = f"{params['license_proxy_url']}/v1/status"
    status, why = get_json(url)
    if not isinstance(status, dict):
        raise NotReady(f"the License Proxy at {url} does not answer ({why})", "license-proxy")
    if status.get("state") not in RELAYING:
        raise NotReady(f"the License Proxy's state is {status.get('state')}, not Connected or Ready", "license-proxy")


def look_at_billing(params):
    """It has no status of its own that is documented: it tells its certificates, and speaks TLS where licences are asked for."""
    url = f"{params['billing_url']}/v1/certificates"
    reported, why = get_json(url)
    if reported is None:
        raise NotReady(f"Billing at {url} does not answer ({why})", "billing")
    why = speaks_tls(params["billing_address"]) if params["billing_address"] else ""
    if why:
        raise NotReady(f"Billing gives no licences at {params['billing_address']} ({why})", "billing")


def container(params, part):
    """The name of a part's container."""
    return "deepgram-" + (params.get("names") or {}).get(part, part)


def crashed(params, before):
    """Part that keeps dying, or None. `before` holds the restarts counted at the beginning."""
    for component, count in before.items():
        found = inspect(params["engine"], container(params, component))
        now = found["restarts"] if found else 0
        if now - count >= CRASHES:
            return component
    return None


def wait(params):
    """(engine load, seconds waited); raises NotReady after timeout_s, or as soon as a container keeps dying."""
    begin = time.monotonic()
    count = {
        name: (inspect(params["engine"], container(params, name)) or {}).get("restarts", 0) for name in parts(params)
    }
    while True:
        try:
            return look(params), int(time.monotonic() - begin)
        except NotReady as reason:
            waited = time.monotonic() - begin
            crashing = crashed(params, count)
            if crashing:
                raise NotReady(f"the container {container(params, crashing)} dies again and again", crashing) from None
            if waited >= params["timeout_s"]:
                raise NotReady(f"{reason} after {int(waited)} s", reason.component) from None
        time.sleep(0.25 if waited < 10 else 1 if waited < 30 else 3)


def start_logs(params):
    """The events of each container's log since its start, by part."""
    logs = {}
    for part in parts(params):
        found = inspect(params["engine"], container(params, part))
        logs[part] = events(log_head(params["engine"], container(params, part), found["started"])) if found else []
    return logs


def finding(check, ok, seen, expected, fix):
    verdict = "pass" if ok else "fail"
    return {"check": check, "verdict": verdict, "seen": seen, "expected": expected, "fix": "" if ok else fix}


def refused_models(log, directory):
    """{file: line} of the models that the Engine did not take, unless the file was removed or replaced since.

    The file is "" in a format that leaves its name out: then the directory must be as it was.
    """
    found = {}
    for file, line in models(log)[1].items():
        path = os.path.join(directory, file) if file else directory
        if os.path.exists(path) and os.stat(path).st_mtime <= (parse_time(line.split(" ", 1)[0]) or time.time()):
            found[file] = line
    return found


def models_finding(log, directory):
    """Whether the Engine took every model file; each one that it refused is named, with what its line means."""
    refused = refused_models(log, directory)
    lines = [f"{file or 'a file'}: {line[:300]}" for file, line in refused.items()]
    fixes = [f"{file or 'the file'}: {diagnose([line]).remediation}" for file, line in refused.items()]
    seen = "; ".join(lines) or "no refused model"
    return finding("models load", not refused, seen, "no refused model", "; ".join(fixes))


def prove(params, load, logs):
    """Findings about a start that worked: does it also run as configured? `logs`: the events of each component."""
    found = []
    for check, component, signature, expected, fix in TRAPS:
        if component in logs and (signature != "CPU" or params["gpu_required"]):
            fallen = diagnose(logs[component], [signature])
            found.append(finding(check, not fallen, fallen.line[:300] if fallen else expected, expected, fix))
    if "engine" not in logs:
        return found
    found.append(models_finding(logs["engine"], params["models_dir"]))
    desired, seen = str(params["max_active_requests"] or 0), str(load["max_active_requests"] or 0)
    expected = "no limit" if desired == "0" else desired
    return [*found, finding(LIMIT[0], seen == desired, "no limit" if seen == "0" else seen, expected, LIMIT[1])]


def diagnosis(params, reason, since):
    """(msg, log, fix) for services that do not work."""
    secrets = secrets_in(params["env_file"])
    log = log_tail(params["engine"], container(params, reason.component), 20, secrets, since)
    default = (
        f"read the log of {container(params, reason.component)} on the server, or give it longer with "
        "deepgram_engine_start_timeout_s"
    )
    known = diagnose(log.splitlines(), {signature.name for signature in TABLE} - HARMLESS)
    fix = f"{known.meaning}: {known.remediation}" if known else default
    lines = " | ".join(log.splitlines())
    return f"{reason}; last lines of {container(params, reason.component)}: {lines or '(no log)'}", log, fix


def main():
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "choices": ["docker", "podman"], "required": True},
            "names": {"type": "dict", "default": {}},
            "api_url": {"type": "str", "default": ""},
            "metrics_url": {"type": "str", "default": ""},
            "license_proxy_url": {"type": "str", "default": ""},
            "billing_url": {"type": "str", "default": ""},
            "billing_address": {"type": "str", "default": ""},
            "engine_address": {"type": "str", "default": ""},
            "max_active_requests": {"type": "str"},
            "gpu_required": {"type": "bool", "default": True},
            "timeout_s": {"type": "int", "default": 600},
            "env_file": {"type": "path", "required": True},
            "models_dir": {"type": "path", "default": "/var/lib/deepgram/models"},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, findings=[], seconds=0)
    begin = time.time() - 5  # a container that was just started has spoken already
    try:
        load, seconds = wait(module.params)
    except NotReady as reason:
        what, log, fix = diagnosis(module.params, reason, begin)
        failed = finding("deepgram answers", False, str(reason), "connected and Ready or Healthy", fix)
        module.fail_json(msg=f"{what}. Fix: {fix}.", value=log, fix=fix, findings=[failed])
    findings = prove(module.params, load, start_logs(module.params))
    bad = [entry for entry in findings if entry["verdict"] == "fail"]
    if bad:
        what = "; ".join(f"{entry['check']}: {entry['seen']}, expected {entry['expected']}" for entry in bad)
        fix = "; ".join(dict.fromkeys(entry["fix"] for entry in bad))
        module.fail_json(msg=f"Deepgram runs, but not as configured: {what}. Fix: {fix}.", fix=fix, findings=findings)
    module.exit_json(changed=False, findings=findings, seconds=seconds)


if __name__ == "__main__":
    main()
