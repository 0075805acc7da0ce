"""The container engine as the doctor asks it: Docker over its socket, Podman by its programs. Both in one view."""

import json
import os
import re
import socket
import threading

from ansible.module_utils.containers.state import asks_for_gpu
from ansible.module_utils.deepgram.components import KINDS, ROLES, component, kind
from ansible.module_utils.host import record as host_record
from ansible.module_utils.host.http import get

SOCKET = "/run/docker.sock"
LOG_BYTES = 4 << 20
INSIDE = "inside {}"
TIMEOUT_S = 15  # a busy Docker is not a dead one


def recorded():
    """The containers that the roles recorded here, before anything is asked; those of a plain server without a record."""
    found = []
    for role in ROLES:
        try:
            with open(os.path.join(host_record.FOLDER, role + ".json"), encoding="utf-8") as stream:
                found += json.load(stream)["things"]["containers"]["names"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found or [f"deepgram-{part}" for part in KINDS]


class Silent(Exception):
    """The engine does not answer; the text says why."""


class Engine:
    """What both have in common; `programs` are those that `commands` named, when they were started."""

    def __init__(self, programs):
        self.programs, self.cache, self.lock = programs, {}, threading.Lock()

    def container(self, part):
        """What `view` makes of deepgram-PART; None for none. Raises Silent."""
        raise NotImplementedError

    def log(self, part):
        """The command that prints the end of a container's log."""
        raise NotImplementedError

    def log_between(self, part, since, until):
        """The command that prints what a container logged between two moments, at most LOG_BYTES of it."""
        raise NotImplementedError

    def execute(self, part, *words):
        return (self.cli, "exec", f"deepgram-{part}", *words)

    @classmethod
    def gpus_inside(cls):
        """{name: command} that asks nvidia-smi in the container of each Engine on record."""
        engines = [part for part in map(component, recorded()) if kind(part) == "engine"]
        return {INSIDE.format(part): (cls.cli, "exec", f"deepgram-{part}", "nvidia-smi", "-L") for part in engines}

    def inside(self, part):
        """What nvidia-smi says in an Engine's container; None when nobody asked."""
        return self.programs.reported(INSIDE.format(part))


class Docker(Engine):
    cli = "docker"
    kill = "docker restart -t 5 deepgram-{part}"
    restart = "docker restart deepgram-{part}"
    recreate = "docker compose -f {folder}/compose.yaml up -d --force-recreate {part}"

    @classmethod
    def commands(cls, engine):
        return cls.gpus_inside() if engine else {}

    def ask(self, path):
        """The JSON at a path of Docker's API, asked once; None for 404. Raises Silent."""
        with self.lock:
            if path not in self.cache:
                self.cache[path] = self._ask(path)
        found = self.cache[path]
        if isinstance(found, Silent):
            raise found
        return found

    def _ask(self, path):
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(SOCKET)
                status, body = get(connection, "docker", path, TIMEOUT_S)
            if status == 404:
                return None
            return json.loads(body) if status == 200 else Silent(f"Docker answers {status}")
        except (OSError, ValueError) as error:
            return Silent(f"Docker does not answer: {getattr(error, 'strerror', None) or error}")

    def version(self):
        """Its version as numbers, such as (26, 1, 5). Raises Silent."""
        return numbers((self.ask("/version") or {}).get("Version", ""))

    def settings(self):
        """{runtimes, cdi: folders that CDI files are read from, none when it is off}. Raises Silent."""
        reported = self.ask("/info") or {}
        return {"runtimes": sorted(reported.get("Runtimes") or {}), "cdi": reported.get("CDISpecDirs") or []}

    def container(self, part):
        return view(self.ask(f"/containers/deepgram-{part}/json"))

    def log(self, part):
        return ("docker", "logs", "--tail", "400", f"deepgram-{part}")

    def log_between(self, part, since, until):
        return headed("docker", "logs", "--since", f"{since:.3f}", "--until", f"{until:.3f}", f"deepgram-{part}")


class Podman(Engine):
    cli = "podman"
    kill = "podman kill --signal=KILL deepgram-{part}"  # systemd starts it again
    restart = recreate = "systemctl restart deepgram-{part}.service"

    @classmethod
    def commands(cls, engine):
        asked = {"podman": ("podman", "container", "inspect", *recorded()), "podman_version": ("podman", "--version")}
        return {**asked, **cls.gpus_inside()} if engine else asked

    def version(self):
        reported = self.programs.reported("podman_version")
        if reported.status != 0:
            raise Silent(reported.why or "podman says nothing")
        return numbers(reported.text)

    def log(self, part):
        """Quadlet removes a container that ends; the journal keeps its words."""
        unit = f"deepgram-{part}.service"
        return ("journalctl", "-q", "-o", "cat", "-n", "400", "-u", unit, "-t", f"deepgram-{part}")

    def log_between(self, part, since, until):
        times = (f"--since=@{int(since)}", f"--until=@{int(until) + 1}")
        unit = ("-u", f"deepgram-{part}.service", "-t", f"deepgram-{part}")
        return headed("journalctl", "-q", "-o", "cat", *times, *unit)

    def settings(self):
        """Podman needs no runtime, and reads CDI files always."""
        return {"runtimes": ["nvidia"], "cdi": ["/etc/cdi", "/var/run/cdi"]}

    def container(self, part):
        reported = self.programs.reported("podman")
        if reported.status is None:
            raise Silent(reported.why)
        # Its errors about containers that are not there stand before or after the list.
        text = reported.text[reported.text.find("[") : reported.text.rfind("]") + 1]
        try:
            found = {entry["Name"]: entry for entry in json.loads(text or "[]")}
        except ValueError as error:
            raise Silent(f"podman says something else than was asked for: {error}") from None
        return view(found.get(f"deepgram-{part}"))


def headed(*words):
    """A command whose output ends at LOG_BYTES."""
    return ("sh", "-c", f'"$@" 2>&1 | head -c {LOG_BYTES}', *words[:1], *words)


def view(entry):
    """{running, restarting, status, pid, started, restarts, gpu, exit_code, error, image_id} of a container; None for none."""
    if not entry:
        return None
    state = entry["State"]
    return {
        "running": bool(state.get("Running")) and not state.get("Restarting") and not state.get("Paused"),
        "restarting": bool(state.get("Restarting")),
        "status": state.get("Status", ""),
        "pid": state.get("Pid") or 0,
        "started": state.get("StartedAt") or "",
        "restarts": entry.get("RestartCount") or 0,
        "gpu": asks_for_gpu(entry),
        "exit_code": state.get("ExitCode"),
        "error": state.get("Error") or "",
        "image_id": entry.get("Image") or "",
    }


def numbers(text):
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


ENGINES = {"docker": Docker, "podman": Podman}
