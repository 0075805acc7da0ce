#!/usr/bin/python
"""Gathers everything that tells how this server's Deepgram is doing."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_status
short_description: Says how the Deepgram services of a server are doing
description:
  - Reads containers, services, models, load, GPUs, driver and certificates in one call. Changes nothing.
  - What cannot be read is null, and C(problems) says why.
options:
  parts:
    description: What runs here, of C(api) and C(engine). What a part that does not run here would tell is null.
    type: list
    elements: str
    default: [api, engine]
  urls:
    description: By component the address at which it says how it is, where a server has several Engines or APIs.
    type: dict
    default: {}
  api_url:
    description: Address of the API on this server.
    type: str
    default: http://127.0.0.1:8080
  metrics_url:
    description: Address of the Engine's metrics server on this server.
    type: str
    default: http://127.0.0.1:9991
  license_proxy_url:
    description: Address of the License Proxy's status on this server; empty where there is none.
    type: str
    default: ""
  billing_url:
    description: Address at which a Billing on this server tells its certificates; empty where there is none.
    type: str
    default: ""
  certificate:
    description: PEM file with the TLS proxy's certificate; empty where there is none.
    type: path
    default: /etc/nginx/tls/deepgram.crt
  record:
    description: JSON file that names the pinned release and images.
    type: path
    default: /etc/deepgram/images.json
extends_documentation_fragment:
  - containers.usual
  - check_mode.no_diff
"""
EXAMPLES = """
- name: Ask how Deepgram is doing
  deepgram_status:
"""
RETURN = """
status:
  description: >-
    release; containers by name with running, status, health, image, digest, release, started_at, restarts;
    api (the answer of /v1/status); engine_connection (the answer of /v1/status/engine);
    models, a list of kind, name, canonical_name, architecture, languages, version, uuid, batch, streaming;
    load with max_active_requests (0 is no limit), active_requests by kind, estimated_stream_capacity;
    gpus, a list of index, name, uuid, memory_total_mb, memory_used_mb, utilization_percent, temperature_c;
    driver with loaded and reported; certificates with proxy, api and engine, each with days_left;
    watch, what the server's watchdog says (phase, out, since, reason, note, frozen, warnings), null where none runs;
    problems, a list of sentences; of a server with several Engines also apis and loads, by component what api and load say of
    the first.
  returned: success
  type: dict
"""

import json
import os
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram import components as deepgram_components
from ansible.module_utils.deepgram.containers import inspect, last_words, run
from ansible.module_utils.deepgram.http import days_left, engine_load, get, get_either, get_json, metrics, models
from ansible.module_utils.deepgram.tls import describe
from ansible.module_utils.host import record as host_record
from ansible.module_utils.watch import files as watch_files

WATCH = ("phase", "out", "since", "reason", "note", "frozen", "warnings")
MAY_NOT = "this user may not read it, and is not root"
AS_ROOT = "Let it become root (remove ansible_become: false), or log in as root"
ABSENT = re.compile("no such (container|object)|no container with name", re.IGNORECASE)
GPU_FIELDS = {  # nvidia-smi's name: ours, and its type
    "index": ("index", int),
    "name": ("name", str),
    "uuid": ("uuid", str),
    "driver_version": ("driver", str),
    "memory.total": ("memory_total_mb", int),
    "memory.used": ("memory_used_mb", int),
    "utilization.gpu": ("utilization_percent", int),
    "temperature.gpu": ("temperature_c", int),
}


class Problems(list):
    """Sentences about what could not be read."""

    def note(self, what, answer):
        """The answer of a (value, why not) pair; remembers why there is none."""
        value, why = answer
        if why:
            self.append(f"{what}: {why}")
        return value


def why_absent(engine, name):
    """Why nothing is seen of a container: there is none, or this user may not ask, or the container engine fails."""
    if engine == "podman" and os.geteuid():
        return f"not seen: {MAY_NOT}, and Podman shows each user only containers of their own. {AS_ROOT}"
    rc, out, err = run([engine, "container", "inspect", name], timeout=30, check=False)
    reported = last_words(err or out, 1) if rc else ""
    if "permission denied" in reported.lower():
        return f"not seen: {MAY_NOT} ({reported}). {AS_ROOT}"
    return "there is none" if not reported or ABSENT.search(reported) else f"not seen: {reported}"


def containers(engine, components, problems):
    found = {}
    for name in [f"deepgram-{component}" for component in components]:
        view = inspect(engine, name)
        if view is None:
            problems.append(f"container {name}: {why_absent(engine, name)}")
            found[name] = None
            continue
        keys = ("running", "status", "health", "image", "started_at", "restarts")
        found[name] = {key: view[key] for key in keys}
        found[name]["digest"] = (view["image"] or "").partition("@")[2] or None
        found[name]["release"] = view["labels"].get("deepgram.release")
    return found


def convert(kind, text):
    """A field of nvidia-smi, or None where the GPU does not have it ([N/A])."""
    try:
        return kind(text)
    except ValueError:
        return None


def gpus(problems):
    rc, out, err = run(
        ["nvidia-smi", f"--query-gpu={','.join(GPU_FIELDS)}", "--format=csv,noheader,nounits"],
        timeout=30,
        check=False,
    )
    if rc != 0:
        problems.append(
            f"nvidia-smi: {(err or out).strip().splitlines()[0] if (err or out).strip() else f'ended with {rc}'}"
        )
        return []
    rows = [line.split(", ") for line in out.splitlines() if line.strip()]
    return [{ours: convert(kind, text.strip()) for (ours, kind), text in zip(GPU_FIELDS.values(), row)} for row in rows]


def driver(found):
    try:
        with open("/sys/module/nvidia/version") as file:
            loaded = file.read().strip()
    except OSError:
        loaded = None
    return {"loaded": loaded, "reported": found[0].get("driver") if found else None}


def service_certificate(document, now):
    """Days until the support of a Deepgram service ends, and until it refuses to start."""
    if not isinstance(document, dict):
        return None
    return {
        "end_of_support": document.get("end_of_support"),
        "end_of_life": document.get("end_of_life"),
        "days_left": days_left(document.get("end_of_support"), now),
        "days_to_end_of_life": days_left(document.get("end_of_life"), now),
    }


def proxy_certificate(path, now):
    """(description, why not) of the TLS proxy's certificate; nothing where there is none to be."""
    if not path:
        return None, ""
    try:
        found = describe(path)
    except OSError as error:
        return None, str(error)
    return {**found, "days_left": days_left(found["not_after"], now)}, ""


def release(path, problems):
    try:
        with open(path) as file:
            return json.load(file).get("release")
    except PermissionError:
        problems.append(f"{path}: {MAY_NOT}. {AS_ROOT}")
        return None
    except (OSError, ValueError, AttributeError):
        return None


def license_proxy(url, problems):
    """What the License Proxy says of its link; None where there is none."""
    if not url:
        return None
    reported = problems.note("License Proxy", get_json(f"{url}/v1/status"))
    if isinstance(reported, dict) and reported.get("state") in ("TrustBased", "Failed"):
        problems.append(f"License Proxy: it is {reported['state']}: Deepgram's licence server does not answer it")
    return reported


def watchdog(now, problems):
    """What the watchdog of this server says; None where none runs. One that took it out is a problem, by whatever cause."""
    found = watch_files.report(now)
    if found is None:
        return None
    if found.get("out"):
        problems.append(f"out by itself since {host_record.day(found.get('since') or now)}: {found.get('reason')}")
    elif found.get("note"):
        problems.append(f"the watchdog tells: {found['note']}")
    return {key: found.get(key) for key in WATCH}


def addresses(params):
    """({API: its address}, {Engine: that of its metrics}), by component."""
    given = {
        name: url.replace("/v1/status", "").replace("/metrics", "") for name, url in (params.get("urls") or {}).items()
    }
    usual = {"api": params["api_url"], "engine": params["metrics_url"]}
    given = given or {part: usual[part] for part in params["parts"] if part in usual}
    kinds = {name: deepgram_components.kind(name) for name in given}
    return tuple(
        {name: given[name] for name in given if kinds[name] == kind and kind in params["parts"]}
        for kind in ("api", "engine")
    )


def gather(params, now):
    """The whole status."""
    problems = Problems()
    apis, engines = addresses(params)
    others = [part for part in params["parts"] if part not in ("api", "engine")]

    def ask(bases, what, path):
        """Component -> the JSON of its page; None where it cannot be read."""
        several = len(bases) > 1
        return {
            name: problems.note(f"{what} ({name})" if several else what, get_json(base + path, ask=get_either))
            for name, base in bases.items()
        }

    texts = {name: problems.note("Engine metrics", get(f"{base}/metrics")) for name, base in engines.items()}
    loads = {name: None if text is None else engine_load(metrics(text)) for name, text in texts.items()}
    listed = ask(apis, "/v1/models", "/v1/models")
    found = gpus(problems) if engines else []
    certificates = {
        "proxy": problems.note("proxy certificate", proxy_certificate(params["certificate"], now)),
        "api": service_certificate(first(ask(apis, "API certificates", "/v1/certificates")), now),
        "engine": service_certificate(first(ask(engines, "Engine certificates", "/v1/certificates")), now),
    }
    if params.get("billing_url"):
        reported = problems.note("Billing", get_json(f"{params['billing_url']}/v1/certificates"))
        certificates["billing"] = service_certificate(reported, now)
    states = ask(apis, "/v1/status", "/v1/status")
    return {
        "release": release(params["record"], problems),
        "containers": containers(params["engine"], [*apis, *engines, *others], problems),
        "api": first(states),
        "engine_connection": first(ask(apis, "/v1/status/engine", "/v1/status/engine")),
        "models": [model for reported in listed.values() if reported is not None for model in models(reported)],
        "load": first(loads),
        "gpus": found,
        "driver": driver(found),
        "certificates": certificates,
        "license_proxy": license_proxy(params["license_proxy_url"], problems),
        "watch": watchdog(now, problems),
        "problems": problems,
        **({"apis": states, "loads": loads} if max(len(apis), len(engines)) > 1 else {}),
    }


def first(found):
    return next(iter(found.values()), None)


def main():
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "choices": ["docker", "podman"], "default": "docker"},
            "parts": {"type": "list", "elements": "str", "default": ["api", "engine"]},
            "urls": {"type": "dict", "default": {}},
            "api_url": {"type": "str", "default": "http://127.0.0.1:8080"},
            "metrics_url": {"type": "str", "default": "http://127.0.0.1:9991"},
            "license_proxy_url": {"type": "str", "default": ""},
            "billing_url": {"type": "str", "default": ""},
            "certificate": {"type": "path", "default": "/etc/nginx/tls/deepgram.crt"},
            "record": {"type": "path", "default": "/etc/deepgram/images.json"},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, status=gather(module.params, time.time()))


if __name__ == "__main__":
    main()
