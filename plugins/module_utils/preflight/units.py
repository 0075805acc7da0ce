"""Preflight checks of systemd's units: what a role is to start must not be masked, which nothing but unmasking undoes."""

from __future__ import annotations

from ansible.module_utils.host.outcome import finding, run
from ansible.module_utils.host.units import by_id, show

OF_PART = {"proxy": ("nginx.service",)}
OF_ENGINE = {
    "docker": ("docker.service", "docker.socket", "containerd.service", "deepgram.service"),
    "podman": ("deepgram-engine.service", "deepgram-api.service"),
}
PERSISTENCE = "nvidia-persistenced.service"


def needed(parts, engine, persistence):
    """The units that roles start on a host with these parts (proxy, api, engine, license_proxy, billing)."""
    found = [unit for part in parts for unit in OF_PART.get(part, ())]
    found += OF_ENGINE.get(engine, ()) if {"api", "engine", "license_proxy", "billing"} & set(parts) else ()
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
