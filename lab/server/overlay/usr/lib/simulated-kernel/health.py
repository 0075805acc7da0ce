"""What changes in a GPU's life: its health, which its description on the PCI bus keeps over a reboot."""

import json

import core
from places import PCI, STATE, fail, loaded, log

# What a reset makes true, and what it heals.
PENDING = {"mig.mode.current": "mig.mode.pending", "ecc.mode.current": "ecc.mode.pending"}
HEALED = {
    "retired_pages.pending": "No", "remapped_rows.pending": "No", "ecc.errors.uncorrected.volatile.total": 0,
    "gpu_recovery_action": "None",
}  # fmt: skip
MISMATCH = """\
NVRM: API mismatch: the client has the version {library}, but
NVRM: this kernel module has the version {version}.  Please
NVRM: make sure that this kernel module and all NVIDIA driver
NVRM: components have the same version."""


def change(address, values):
    """Writes parts of a GPU's health: below the driver, so that the next start of the server has them too."""
    path = PCI / address / "simulated.json"
    card = json.loads(path.read_text())
    unknown = set(values) - set(card["health"])
    if unknown:
        fail(f"A GPU's health has no {', '.join(sorted(unknown))}; it has {', '.join(card['health'])}")
    card["health"] |= values
    path.write_text(json.dumps(card) + "\n")
    core.refresh()


def set_value(address, key, text):
    """VALUE is JSON (true, 3) or a word."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    change(address, {key: value})


def in_use(*but):
    """Whether a program has a GPU open; `but`: the beginnings of the names of those that do not count."""
    return any(not name.startswith(("nvidia-persist", *but)) for name in core.users().values())


def mig(address, mode):
    """At once on an idle GPU; on one in use it waits for a reset, and the answer is no."""
    change(address, {"mig.mode.pending": mode})
    if in_use("nv-fabric"):
        fail(f"GPU {address}: In use by another client")
    change(address, {"mig.mode.current": mode})


def reset(address):
    """Refused while anything but the persistence daemon has a GPU open, and on a GPU that is off the bus."""
    card = json.loads((PCI / address / "simulated.json").read_text())
    if card["health"]["lost"] or in_use():
        fail(f"GPU {address}: In use by another client")
    now = {current: card["health"][pending] for current, pending in PENDING.items()}
    applicable = {key: value for key, value in HEALED.items() if card["health"][key] != "[N/A]"}
    change(address, now | applicable)
    if card["switch"]:
        (STATE / "fabric").unlink(missing_ok=True)


def client(library):
    """A program brought its own library: another version than the module's is told to the log, and served no more."""
    if loaded("nvidia"):
        version = json.loads((STATE / "gpus.json").read_text())["version"]
        if version != library:
            log(*MISMATCH.format(library=library, version=version).splitlines())
