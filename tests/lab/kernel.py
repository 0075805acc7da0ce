"""The simulated kernel's modules, against places under a temporary directory."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parents[2] / "lab/server/overlay/usr/lib/simulated-kernel"
NAMES = ("places", "adapters", "core", "health", "secure_boot")


class Refused(Exception):
    """What modprobe would print."""


def load(root: Path, monkeypatch) -> dict[str, ModuleType]:
    """The modules by name, with every place below `root`; what would end the program raises Refused."""
    monkeypatch.syspath_prepend(str(HERE))
    for name in NAMES:
        sys.modules.pop(name, None)
    modules = {name: importlib.import_module(name) for name in NAMES}

    def fail(text):
        raise Refused(text)

    places = {
        "STATE": "state", "MODULES": "module", "PROC": "proc", "PCI": "pci", "PCI_DRIVERS": "drivers", "LOG": "log",
        "DRIVER": "proc/nvidia", "SWITCHES": "proc/nvidia-nvswitch", "EFIVARS": "efivars",
    }  # fmt: skip
    for directory in ("state", "module", "proc", "pci", "drivers", "efivars", "dev"):
        (root / directory).mkdir()
    for module in modules.values():
        for name, path in places.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, root / path)
        if hasattr(module, "fail"):
            monkeypatch.setattr(module, "fail", fail)
        if hasattr(module, "make_node"):
            monkeypatch.setattr(module, "make_node", lambda name: (root / "dev" / name).touch())
    return modules
