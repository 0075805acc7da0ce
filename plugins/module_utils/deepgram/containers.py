"""The Deepgram containers on this server, the same view of them for Docker and for Podman."""

from __future__ import annotations

import json
import os
import re
import subprocess
from urllib.parse import urlsplit

from ansible.module_utils.containers.state import asks_for_gpu
from ansible.module_utils.deepgram.components import kind
from ansible.module_utils.deepgram.http import parse_time
from ansible.module_utils.deepgram.log import events
from ansible.module_utils.host.systemd import properties

_TELLING = re.compile(
    r"error|warn|fail|panic|fatal|cannot|can't|unable|denied|unauthorized|refused|falling back|missing|insufficient|memory",
    re.IGNORECASE,
)
# What Podman says about itself goes into the same journal.
_ENGINES_OWN = re.compile(r'time="[^"]*" level=(?!error|fatal)|See "systemctl')

# Where their status is inside their containers, unless settings move it.
STATUS_PORTS = {"api": 8080, "engine": 9991}


class CommandFailed(Exception):
    """A command that ended with an error: `str()` is the end of what it said."""


def run(argv, timeout=120, check=True):
    """(rc, stdout, stderr) of a command. 127 when it is not installed, 124 when it took longer than `timeout` s."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=timeout, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        rc, out, err = 127, "", f"{argv[0]} is not installed"
    except subprocess.TimeoutExpired:
        rc, out, err = 124, "", f"{argv[0]} {argv[1]} took longer than {timeout} s"
    else:
        rc, out, err = done.returncode, done.stdout, done.stderr
    if check and rc != 0:
        raise CommandFailed(last_words(err or out, 5) or f"{argv[0]} ended with {rc}")
    return rc, out, err


def last_words(text, lines):
    """The last lines of a text that are not empty, in one line."""
    reported = [line.strip() for line in text.splitlines() if line.strip() and not _ENGINES_OWN.match(line.strip())]
    return " | ".join(reported[-lines:])


def inspect(engine, name):
    """What runs under a name, or None: see the keys below. `started` is seconds since 1970."""
    rc, out, _ = run([engine, "container", "inspect", name], check=False)
    if rc != 0:
        return None
    found = json.loads(out)[0]
    state, config = found.get("State", {}), found.get("Config", {})
    health = (state.get("Health") or state.get("Healthcheck") or {}).get("Status") or None
    return {
        "id": found["Id"],
        "pid": state.get("Pid") or 0,
        "running": bool(state.get("Running")) and not state.get("Restarting"),
        "status": state.get("Status"),
        "started": parse_time(state.get("StartedAt")),
        "started_at": state.get("StartedAt"),
        "exit_code": state.get("ExitCode"),
        "restarts": restarts(engine, name, found),
        "health": health,
        "image": found.get("ImageName") or config.get("Image"),
        "image_id": found.get("Image"),
        "labels": config.get("Labels") or {},
        "command": config.get("CreateCommand") or [],
        "gpu": asks_for_gpu(found),
        "ports": published(found),
    }


def published(found):
    """{port in the container: the server's port} that an inspected container was made with; its first of several."""
    bindings = (found.get("HostConfig") or {}).get("PortBindings") or {}
    pairs = [(inside.partition("/")[0], those[0].get("HostPort") or "") for inside, those in bindings.items() if those]
    return {int(inside): int(port) for inside, port in pairs if inside.isdigit() and port.isdigit()}


def now_at(name, url, ports):
    """Where a component says how it is now: its container may still have the port from before. "" where that is not known."""
    port = urlsplit(url).port
    if not ports or port in ports.values():
        return url
    before = ports.get(STATUS_PORTS.get(kind(name)))
    return url.replace(f":{port}/", f":{before}/", 1) if before else ""


def restarts(engine, name, found=None):
    """How often a container was restarted after it died. With Podman it is systemd that restarts."""
    if engine == "podman":
        return int(properties(f"{name}.service", "NRestarts").get("NRestarts") or 0)
    return (found or {}).get("RestartCount", 0)


def logs_command(engine, name, since=None, tail=None):
    """Command that prints a container's log; with Podman it is in the journal and outlives the container."""
    if engine == "podman":
        argv = ["journalctl", "--no-pager", "--output=cat", f"--unit={name}.service", f"--identifier={name}"]
        return argv + ([f"--since=@{int(since)}"] if since else []) + ([f"--lines={tail}"] if tail else [])
    return (
        ["docker", "logs"]
        + (["--since", f"{since:.9f}"] if since else [])
        + (["--tail", str(tail)] if tail else [])
        + [name]
    )


def log_head(engine, name, since, limit=4 << 20):
    """The first `limit` bytes that a container logged since its start: what it said then, at a bounded cost."""
    argv = logs_command(engine, name, since=since)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL) as process:
        data = process.stdout.read(limit)
        process.kill()
    return data.decode("utf-8", "replace")


def log_tail(engine, name, lines=20, secrets=(), since=None):
    """The last telling events of a container's log, a line each, without secrets; of those since a moment, if there are any."""
    found = _log_lines(engine, name, since) or _log_lines(engine, name, None)
    telling = [line for line in found if _TELLING.search(line)]
    return without("\n".join(list(dict.fromkeys(telling or found))[-lines:]), secrets)


def _log_lines(engine, name, since):
    _, out, err = run(logs_command(engine, name, since=since, tail=400), check=False)
    return [line for line in events(out + err) if not _ENGINES_OWN.match(line)]


def without(text, secrets):
    """The text with every secret replaced by asterisks."""
    for secret in secrets:
        text = text.replace(secret, "********")
    return text


def secrets_in(path):
    """The values in an environment file, longest first; they must not show in messages."""
    if not os.path.exists(path):
        return []
    with open(path) as file:
        values = [line.strip().partition("=")[2] for line in file if "=" in line and not line.startswith("#")]
    return sorted((value for value in values if len(value) > 3), key=len, reverse=True)
