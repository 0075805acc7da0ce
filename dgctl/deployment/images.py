"""images.lock beside the inventory: the digest that each release's image was first pulled with, given to every server since."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.locate import shown
from dgctl.deployment.deployment import ALONE, Host
from dgctl.deployment.inventory_edit import write

FILE = "images.lock"
VARIABLE = "deepgram_image_pins"  # how the roles are told
HEADER = """\
# Written by dgctl: the image that each release's tag led to when a server of this deployment first pulled it. Every other server
# gets the same, whatever the tag leads to by then. Commit this file. To take what a tag leads to now, delete its line.
"""
PARTS = {
    "api": "self-hosted-api",
    "engine": "self-hosted-engine",
    "license-proxy": "self-hosted-license-proxy",
    "billing": "self-hosted-billing",
}
_LINE = re.compile(
    r"(\S+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}) (sha256:[0-9a-f]{64})"
)  # OCI distribution specification: tags


def path(inventory: Path) -> Path:
    return inventory.absolute().parent / FILE


def read(inventory: Path) -> dict[str, str]:
    """REPOSITORY:RELEASE -> digest. Raises DgctlError (exit 3) with every line that is none."""
    file, found, problems = path(inventory), {}, []
    if not file.is_file():
        return found
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match:
            found[match[1]] = match[2]
        elif line.strip() and not line.startswith("#"):
            fix = "write REPOSITORY:RELEASE sha256:DIGEST, or delete the line: the next provision writes it"
            problems.append(Problem("this line pins no image", f"{shown(file)}:{number}", line.strip(), fix))
    if problems:
        raise DgctlError(problems, Exit.INVALID)
    return found


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
    add(inventory, {name: said for name, said in pulled.items() if name in own and _LINE.fullmatch(f"{name} {said}")})


def add(inventory: Path, new: Mapping[str, object]) -> None:
    """Adds what the file says nothing of yet."""
    known = read(inventory)
    if new := {name: digest for name, digest in new.items() if name not in known}:
        lines = [f"{name} {digest}\n" for name, digest in sorted({**known, **new}.items())]
        file = path(inventory)
        file.touch(mode=0o644)
        write(file, HEADER + "".join(lines))
