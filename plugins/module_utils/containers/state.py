"""Containers of Docker, asked over its socket, and of Podman."""

import json
import socket

from ansible.module_utils.host.command import Command
from ansible.module_utils.host.files import written_after
from ansible.module_utils.host.http import get
from ansible.module_utils.host.record import sha256

SOCKET = "/run/docker.sock"
TIMEOUT_S = 5
PODMAN_TIMEOUT_S = 20
DEFINITION = "com.docker.compose.config-hash"


def look_at(engine, names):
    """{name: {image, image_id, definition, gpu, pid, state, health, started}}; a str in place of the dict says why not."""
    return _podman(names) if engine == "podman" else {name: _docker(name) for name in names}


def record(seen):
    """What of a container is recorded; {} for one that is not there."""
    return {key: seen[key] for key in ("image", "image_id", "definition", "gpu")} if isinstance(seen, dict) else {}


def compare(name, was, now):
    """(thing, how) of what is not right with one container."""
    for how in [now] if isinstance(now, str) else _differences(was, now):
        yield f"container {name}", how


def _differences(was, now):
    if now["state"] != "running":
        yield f"is {now['state']} instead of running"
    if now["health"] == "unhealthy":
        yield "is unhealthy"
    if was.get("image") != now["image"] or was.get("image_id") != now["image_id"]:
        yield (
            f"runs image {now['image']} instead of {was.get('image', 'none')}"
            if (was.get("image") != now["image"])
            else f"runs another image of the name {now['image']}"
        )
    if was.get("definition") != now["definition"]:
        yield "was made from another definition"
    if now["state"] == "running":
        for path in written_after(was.get("reads", []), moment(now["started"])):
            yield f"runs with an older {path}"


def _docker(name):
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(SOCKET)
            status, body = get(connection, "docker", f"/containers/{name}/json", TIMEOUT_S)
        if status == 404:
            return "is not there"
        return _view(json.loads(body)) if status == 200 else f"cannot be inspected: Docker answers {status}"
    except (OSError, ValueError) as error:
        return f"cannot be inspected: Docker does not answer ({error})"


def _podman(names):
    text, why = Command("podman", "container", "inspect", *names).output(PODMAN_TIMEOUT_S)
    try:
        found = {entry["Name"]: _view(entry) for entry in json.loads(text)}
    except ValueError:
        return {name: f"cannot be inspected: {why or 'podman says nothing'}" for name in names}
    return {name: found.get(name, "is not there") for name in names}


def _view(entry):
    state, config = entry["State"], entry["Config"]
    return {
        "image": entry.get("ImageName") or config["Image"],
        "image_id": entry["Image"],
        "definition": (config.get("Labels") or {}).get(DEFINITION) or _made_by(config.get("CreateCommand") or []),
        "gpu": asks_for_gpu(entry),
        "pid": state.get("Pid") or 0,
        "state": state["Status"],
        "health": (state.get("Health") or state.get("Healthcheck") or {}).get("Status", ""),
        "started": state["StartedAt"],
    }


def asks_for_gpu(entry):
    """Whether it was made to be given a GPU."""
    made, command = entry.get("HostConfig") or {}, (entry.get("Config") or {}).get("CreateCommand")
    reported = [made.get("DeviceRequests"), made.get("Devices"), made.get("Runtime"), command]
    return any("nvidia" in text or '"gpu"' in text for text in map(json.dumps, filter(None, reported)))


def _made_by(command):
    """What tells two containers of Podman apart that were started in another way: a digest of how they were."""
    # Sorted, because Quadlet writes a unit's options in another order each time that it makes the unit.
    return sha256("\0".join(sorted(command)).encode()).hexdigest() if command else ""


def moment(text):
    """Seconds since 1970 of a date in RFC 3339: Python 3.9 reads neither its Z nor nanoseconds."""
    from datetime import datetime

    date, fraction, zone = text[:19], "0", text[19:]
    if zone.startswith("."):
        digits = len(zone[1:]) - len(zone[1:].lstrip("0123456789"))
        fraction, zone = zone[1 : 1 + digits], zone[1 + digits :]
    zone = "+00:00" if zone in ("", "Z") else zone
    return datetime.fromisoformat(date + zone).timestamp() + float("0." + fraction)
