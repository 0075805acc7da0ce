"""models.lock beside the inventory: the SHA-256 that each model file was first downloaded with, given to every server since."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host
from dgctl.deployment.pins import LockFile

VARIABLE = "deepgram_models_pins"  # how the role is told
LINKS = "deepgram_models_links"
SUMS = ".sha256.json"  # in the models' directory of a server: name -> {sha256, ...}, by module_utils/deepgram/models.py
LOCK = LockFile(
    "models.lock",
    """\
# Written by dgctl: the SHA-256 of each model file without a sha256 in deepgram_models_links, as a server of this deployment first
# got it. Every other server gets the same bytes, or refuses the file. Commit this file. In the models' directory: sha256sum -c
""",
    "{pin}  {name}",
    re.compile(
        r"(?P<pin>[0-9a-f]{64})  (?P<name>[^\s/\\][^/\\\x00-\x1f\x7f\x85\u2028\u2029]*\.dg(v2)?)"
    ),  # sha256sum(1)
    "this line pins no model file",
    "64 hex digits, two spaces, and the name of a model file",
)
path, read = LOCK.path, LOCK.read


def bare(host: Host) -> list[str]:
    """The names of the model files of a server with an Engine whose links say no sha256."""
    links = host.vars.get(LINKS) if "engine" in host.parts else None
    links = links if isinstance(links, list) else []
    names = content.filters("deepgram_topology").file_names({LINKS: links})
    pairs = zip(links, names, strict=True)
    return [name for link, name in pairs if not (isinstance(link, dict) and link.get("sha256"))]


def locked(inventory: Path, host: Host) -> dict[str, str]:
    """Name -> the SHA-256 that the file has for this server's."""
    found = read(inventory)
    return {name: found[name] for name in bare(host) if name in found}


def differing(inventory: Path, host: Host, reports: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Name -> (the SHA-256 that a server's file has, the one that it is to have) where the file asks for another one.

    `reports`: file -> what it holds, as the server's look says. What it says of no file, or no sum of, is not compared.
    """
    sums = next((held for path, held in reports.items() if path.endswith(f"/{SUMS}")), None)
    entries = sums if isinstance(sums, dict) else {}
    has = {name: str(entry.get("sha256")) for name, entry in entries.items() if isinstance(entry, dict)}
    asked = locked(inventory, host) if has else {}
    known = {name: pin for name, pin in asked.items() if name in has and LOCK.holds(name, has[name])}
    return {name: (has[name], pin) for name, pin in known.items() if pin != has[name]}


def learn(inventory: Path, host: Host, got: Mapping[str, object]) -> list[Problem]:
    """Adds what a server got, where the file says nothing of it yet; what is no model file of that server is not believed.

    Returns what the server has otherwise: it and the first one got their files at the same time, before the file knew any.
    """
    own = set(bare(host))
    seen = {name: pin for name, pin in got.items() if name in own and LOCK.holds(name, pin)}
    LOCK.add(inventory, seen)
    known = read(inventory)
    return [
        Problem(
            f"{name} has another checksum than on other servers: SHA-256 is {pin}, expected {known[name]} ({LOCK.file})",
            host.name,
            fix="run again, which downloads it again; if the new file is meant, give its sha256 in deepgram_models_links",
        )
        for name, pin in seen.items()
        if pin != known[name]
    ]
