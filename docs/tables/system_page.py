"""The page of systems, container engines and sources of packages, from the tables of role platform."""

from __future__ import annotations

from typing import Any

from docs.tables.markdown import table

HEAD = """# Systems, container engines and sources

What `roles/platform/vars/main/` says, with dates and sources there. `dgctl preflight` refuses what is not here, with the nearest
that works, before anything is changed; `dgctl validate` refuses it already where no system has it.

- `nvidia_driver_source: nvidia` is NVIDIA's repository, or its mirror in `nvidia_driver_repository_url`. `distribution` is
  Ubuntu's own -server packages, whose modules Canonical signs: right where Secure Boot is on. Ubuntu builds them for each kernel,
  so the kernel's meta packages are held with them, and move when you upgrade the driver.
- `docker_source: docker` is Docker's own repository, or its mirror in `docker_repository_url`; `distribution` is what the system
  has; empty is what stands first below. Packages of the other source give way in the same transaction.
- Signing keys are pinned by fingerprint. Most are shipped with the roles (`roles/platform/files/keys/`); NVIDIA's for Debian 13
  and Enterprise Linux are fetched. `*_repository_key` is a key of your own, as text or as a file on your machine.

"""
MATRIX = """
## System, engine and source

**Applied**: provisioned, verified and looked at again on a simulated server, by `tests/scenarios` (in brackets the branches; all
of them with `bin/test --all`). rendered: packages, sources and files are tested without a server. refused: see below.

"""
REASONS = "\n## Why something is refused\n\n"


def page() -> str:
    """The whole page."""
    from dgctl.content import systems
    from tests.scenarios.support.systems import ELSEWHERE, WAYS

    known, supported = systems.table(), systems.supported()
    rows = [_row(known, key, engine, [*WAYS, *ELSEWHERE]) for key in known for engine in supported.ENGINES]
    head = ["system", "engine", "its packages", "driver of NVIDIA's", "driver of the distribution's"]
    return HEAD + _branches(known) + MATRIX + table(head, rows) + REASONS + _reasons(known)


def _row(systems: dict[str, Any], key: str, engine: str, ways: list[Any]) -> list[str]:
    system = systems[key]
    offers = system.get(engine) or {}
    packages = "; ".join(f"{source}: {' '.join(names)}" for source, names in offers.items()) or "refused"
    cells = [_cell(system, key, engine, source, bool(offers), ways) for source in ("nvidia", "distribution")]
    return [system["name"], engine, packages, *cells]


def _cell(system: dict[str, Any], key: str, engine: str, source: str, served: bool, ways: list[Any]) -> str:
    """What is done of a system with an engine and a source of the driver."""
    if not served or source not in system["driver"]:
        return "refused"
    branches = [way.branch for way in ways if (way.system, way.engine, way.source) == (key, engine, source)]
    return f"**applied** ({', '.join(branches)})" if branches else "rendered"


def _branches(systems: dict[str, Any]) -> str:
    """The branches of each source."""
    rows = [
        [system["name"], source, ", ".join(offer["branches"]), offer.get("url", "the sources that the host has")]
        for system in systems.values()
        for source, offer in system["driver"].items()
    ]
    return "## Driver branches by source\n\n" + table(["system", "source", "branches", "where"], rows)


def _reasons(systems: dict[str, Any]) -> str:
    rows = [
        [system["name"], f"{kind}, {source}", why]
        for system in systems.values()
        for kind, reasons in (system.get("refused") or {}).items()
        for source, why in reasons.items()
    ]
    return table(["system", "what", "why"], rows)
