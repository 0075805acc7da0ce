#!/usr/bin/python
"""Starts the Deepgram containers, and restarts those that run on something older than their files."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_service
short_description: Makes the Deepgram containers run what their files say
description:
  - With Docker the containers belong to a compose project, with Podman to Quadlet units.
  - A container is made anew when its definition changed, or when a file that it reads at its start is newer than
    that start. So a run that was killed after it wrote a file is completed by the next one.
  - When the Engine has to go, the API is stopped first, and both finish the requests that they have.
    A container that does not answer has none; it is killed, because one that keeps dying may miss the signal to stop.
options:
  engine:
    description: Container engine.
    type: str
    choices: [docker, podman]
    required: true
  directory:
    description: Directory of the compose project.
    type: path
    required: true
  urls:
    description: By component an address on this server that answers while the component works.
    type: dict
    required: true
  files:
    description: By component (C(engine), C(api)) the files that its container reads when it starts.
    type: dict
    required: true
  stop_timeout_s:
    description: Seconds that a container may take to finish its requests.
    type: int
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
"""
EXAMPLES = """
- name: Run the containers
  deepgram_service:
    engine: docker
    directory: /etc/deepgram
    urls: {engine: "http://127.0.0.1:9991/metrics", api: "http://127.0.0.1:8080/v1/status"}
    files:
      engine: [/etc/deepgram/engine/engine.toml]
      api: [/etc/deepgram/api/api.toml]
    stop_timeout_s: 1800
"""
RETURN = """
started:
  description: Containers that were started anew, or in check mode would be.
  returned: success
  type: list
  elements: str
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import os
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram_containers import (
    CommandFailed,
    inspect,
    last_words,
    log_tail,
    run,
    secrets_in,
    without,
)
from ansible.module_utils.deepgram_http import get

COMPONENTS = ("engine", "api")
START_S = 300  # beyond the time that the old containers may take to stop
CURES = (
    (
        r"unresolvable CDI|CDI device|could not select device driver",
        "run `systemctl restart nvidia-cdi-refresh.service` on the server; then `nvidia-ctk cdi list` must name every "
        "device in deepgram_gpu_devices",
    ),
    (
        r"already allocated|address already in use|bind",
        "free the port, or set deepgram_api_port or deepgram_metrics_port",
    ),
    (r"No such image|image not known|not found", "run again: the image was removed while this ran"),
    (r"is not installed", "run the playbook from its start: the container engine is missing"),
)


def newer(paths, started):
    """Whether a file was written after a container started. A date in the future says nothing."""
    now = time.time()
    times = [os.stat(path).st_mtime for path in paths if os.path.exists(path)]
    return any(started < moment <= now for moment in times)


def stopped(containers):
    return [name for name in COMPONENTS if not (containers[name] and containers[name]["running"])]


def stale(files, containers):
    """Components that run on something older than their files."""
    running = [name for name in COMPONENTS if name not in stopped(containers)]
    return [name for name in running if newer(files.get(name, []), containers[name]["started"] or 0)]


def silent(urls, names, containers):
    """Those of `names` that have a container which does not answer."""
    return [name for name in names if containers[name] and get(urls[name], timeout=3)[0] is None]


class Docker:
    """The compose project in a directory."""

    up = ("up", "--detach", "--no-build", "--pull", "never")

    def __init__(self, params, check_mode):
        self.files, self.urls, self.check_mode = params["files"], params["urls"], check_mode
        self.compose = ["docker", "compose", "--project-directory", params["directory"]]
        self.timeout = 2 * params["stop_timeout_s"] + START_S

    def due(self, containers):
        """Components that compose would make or start anew, and those on old files, which compose does not see."""
        if not any(containers.values()):
            return set(COMPONENTS)  # also in check mode on a host without Docker
        # Not by `config --hash`: Compose 2.26 labels containers with another hash than it prints there.
        _, out, err = run([*self.compose, "--dry-run", "--ansi=never", *self.up], check=not self.check_mode)
        acts = re.findall(r"Container (?:\w+_)?deepgram-(\w+) +(\w+)", out + err)
        redefined = {name for name, act in acts if name in COMPONENTS and act != "Running"}
        return {*stopped(containers), *stale(self.files, containers), *redefined}

    def restart(self, due, containers):
        """Has compose bring everything up; forces only what compose would take for unchanged."""
        for name in silent(self.urls, due, containers):
            run(["docker", "rm", "--force", f"deepgram-{name}"])
        if "engine" in due and containers["api"]:
            run([*self.compose, "stop", "api"], timeout=self.timeout)
        forced = stale(self.files, containers)
        if forced:
            run([*self.compose, *self.up, "--no-deps", "--force-recreate", *forced], timeout=self.timeout)
        run([*self.compose, *self.up], timeout=self.timeout)


class Podman:
    """The Quadlet units. Their files are among those that a container reads at its start."""

    def __init__(self, params, check_mode):
        self.files, self.urls = params["files"], params["urls"]
        self.timeout = 2 * params["stop_timeout_s"] + START_S

    def due(self, containers):
        return {*stopped(containers), *stale(self.files, containers)}

    @staticmethod
    def _unread():
        """Whether systemd lacks a unit, or knows one as it was before its file changed."""
        for name in COMPONENTS:
            show = ["systemctl", "show", f"deepgram-{name}.service", "-P"]
            state = [run([*show, item], check=False)[1].strip() for item in ("LoadState", "NeedDaemonReload")]
            if state != ["loaded", "no"]:
                return True
        return False

    def restart(self, due, containers):
        """Restarts in one transaction: the order in the units stops the API first and starts it last."""
        if self._unread():
            run(["systemctl", "daemon-reload"])
        if self._unread():
            said = run(["/usr/libexec/podman/quadlet", "-dryrun"], check=False)[2]
            raise CommandFailed(f"Quadlet makes no unit of the files in /etc/containers/systemd: {last_words(said, 3)}")
        names = COMPONENTS if "engine" in due else ["api"]
        for name in silent(self.urls, names, containers):
            run(["podman", "kill", "--signal=KILL", f"deepgram-{name}"], check=False)  # it may just have died
        run(["systemctl", "restart", *[f"deepgram-{name}.service" for name in names]], timeout=self.timeout)


def views(engine):
    return {name: inspect(engine, f"deepgram-{name}") for name in COMPONENTS}


def work(params, check_mode):
    """Names of the containers that are new, or would be."""
    engine = (Docker if params["engine"] == "docker" else Podman)(params, check_mode)
    before = views(params["engine"])
    due = engine.due(before)
    if due and not check_mode:
        engine.restart(due, before)
        after = views(params["engine"])
        due = {name for name in COMPONENTS if _instance(before[name]) != _instance(after[name])}
    return [f"deepgram-{name}" for name in COMPONENTS if name in due]


def _instance(container):
    return container and (container["id"], container["started_at"])


def explain(params, error, since):
    """(msg, fix) for a start that failed, with what the containers said since."""
    secrets = secrets_in(os.path.join(params["directory"], "deepgram.env"))
    logs = [log_tail(params["engine"], f"deepgram-{name}", 5, secrets, since) for name in COMPONENTS]
    lines = [line for log in logs for line in log.splitlines()]
    said = " | ".join([without(str(error), secrets), *lines])
    fix = next((fix for pattern, fix in CURES if re.search(pattern, said, re.IGNORECASE)), None)
    return f"the Deepgram containers did not start: {said}", fix or "look at their logs on the server, then run again"


def main():
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "choices": ["docker", "podman"], "required": True},
            "directory": {"type": "path", "required": True},
            "urls": {"type": "dict", "required": True},
            "files": {"type": "dict", "required": True},
            "stop_timeout_s": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    begin = time.time()
    try:
        started = work(module.params, module.check_mode)
    except CommandFailed as error:
        what, fix = explain(module.params, error, begin)
        module.fail_json(msg=f"{what}. Fix: {fix}.", fix=fix)
    module.exit_json(changed=bool(started), started=started)


if __name__ == "__main__":
    main()
