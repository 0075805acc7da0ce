"""images.lock beside the inventory: the digest that each release's image was first pulled with, given to every server since."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from dgctl.base.errors import Problem
from dgctl.base.locate import shown
from dgctl.deployment.deployment import ALONE, Host
from dgctl.deployment.pins import LockFile

FILE = "images.lock"
VARIABLE = "deepgram_image_pins"  # how the roles are told
HEADER = """\
# Written by dgctl: the image that each release's tag led to when a server of this deployment first pulled it. Every other server
# gets the same, whatever the tag leads to by then. Commit this file.
# To take what the tags lead to now: dgctl images update INVENTORY
"""
PARTS = {
    "api": "self-hosted-api",
    "engine": "self-hosted-engine",
    "license-proxy": "self-hosted-license-proxy",
    "billing": "self-hosted-billing",
}
LOCK = LockFile(
    FILE,
    HEADER,
    "{name} {pin}",
    # OCI distribution specification: tags
    re.compile(r"(?P<name>\S+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}) (?P<pin>sha256:[0-9a-f]{64})"),
    "this line pins no image",
    "REPOSITORY:RELEASE sha256:DIGEST",
)
# REPOSITORY:RELEASE -> digest
path, read, add, put = LOCK.path, LOCK.read, LOCK.add, LOCK.put


def names(host: Host, release: str = "") -> dict[str, str]:
    """Part -> REPOSITORY:RELEASE of the images that a server runs by its tag, or would run of another release."""
    registry = host.vars.get("deepgram_registry") or "quay.io/deepgram"
    return {part: f"{registry}/{name}:{release or host.vars.get('deepgram_release')}" for part, name in PARTS.items()}


def needed(inventory: Path, host: Host, release: str = "") -> dict[str, str]:
    """REPOSITORY:RELEASE of what a server's own parts need -> the digest that it has to have; "" where nothing says."""
    known, own = read(inventory), names(host, release)
    return {own[part]: given(host, part) or known.get(own[part], "") for part in host.parts if part in own}


def given(host: Host, part: str) -> str:
    """The digest that a server's variables name for a part; "" without."""
    if part in ALONE:
        return str(host.vars.get(f"{part.replace('-', '_')}_image_digest") or "")
    return str((host.vars.get("deepgram_image_digests") or {}).get(part) or "")


def locked(inventory: Path, host: Host) -> dict[str, str]:
    """Part -> the digest that the file has for this server's."""
    found = read(inventory)
    return {part: found[name] for part, name in names(host).items() if name in found}


def learn(inventory: Path, host: Host, pulled: Mapping[str, object]) -> None:
    """Adds what a server pulled, where the file says nothing of it yet; what is no image of that server is not believed."""
    own = set(names(host).values())
    add(inventory, {name: reported for name, reported in pulled.items() if name in own and LOCK.holds(name, reported)})


def moved(inventory: Path, rows: Iterable[Mapping[str, object]], release: str = "") -> list[Problem]:
    """A hint for each {name, pinned, now, gone} of a tag that leads to another image than the pinned one by now.

    Servers say these: what is no line of the file, with another digest, is not believed. `release`: the one that was asked for.
    """
    known = read(inventory)
    update, provision = (
        shlex.join(["dgctl", *words, str(inventory)]) for words in (("images", "update"), ("provision",))
    )
    update += f" --release {shlex.quote(release)}" if release else ""
    found = []
    for row in rows:
        name, pinned, now = (str(row.get(key)) for key in ("name", "pinned", "now"))
        if known.get(name) == pinned != now and LOCK.holds(name, now):
            what = f"{name} leads to another image by now: {FILE} pins {pinned}, which servers go on to run; "
            what += f"the registry has {now}"
            what += ", and the pinned one no longer: no further server can pull it" if row.get("gone") is True else ""
            fix = f"to take the new one: {update}, then {provision} --full"
            found.append(Problem(what, shown(path(inventory)), fix=fix))
    return found
