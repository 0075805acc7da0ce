"""Preflight checks of systemd's units: what a role is to start must not be masked, which nothing but unmasking undoes."""

from __future__ import annotations

from ansible.module_utils.host.outcome import finding, run
from ansible.module_utils.host.units import by_id, show

OF_PART = {"proxy": ("nginx.service",)}
DOCKERS = ("docker.service", "docker.socket", "containerd.service")
ALONE = ("license-proxy", "billing")  # with Docker a unit each; one, deepgram.service, has all Engines and APIs
PERSISTENCE = "nvidia-persistenced.service"


def needed(parts, engine, components, persistence):
    """The units that roles start on a host with these parts (proxy, api, engine, license_proxy, billing).

    components: of the containers deepgram-COMPONENT; with Podman each has a unit of its own.
    """
    found = [unit for part in parts for unit in OF_PART.get(part, ())]
    if components and engine != "podman":
        found += DOCKERS
        found += ["deepgram.service"] if set(components) - set(ALONE) else []
    found += [f"deepgram-{name}.service" for name in components if engine == "podman" or name in ALONE]
    return found + ([PERSISTENCE] if persistence and "engine" in parts else [])


def masked(units):
    """A failed finding for each unit that is masked; nothing where all may be started."""
    if not units:
        return []
    seen = by_id(run(show(units, "Id", "UnitFileState"), timeout=10)[1])
    states = {unit: found.get("UnitFileState", "") for unit, found in seen.items()}
    return [
        finding("unit", False, f"{unit} is {state}", "a unit that may be started", _unmask(unit, state))
        for unit, state in states.items()
        if unit in units and state.startswith("masked")
    ]


def _unmask(unit, state):
    runtime = "--runtime " if state == "masked-runtime" else ""
    return f"Somebody masked it: run `systemctl unmask {runtime}{unit}` on the server, then run again."
