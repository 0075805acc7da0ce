"""The exporter's modules, which import each other by their short names."""

import importlib
import sys
from types import SimpleNamespace

from tests.paths import PROJECT

FOLDER = PROJECT / "roles/host_metrics/files/exporter"


def program():
    """All of them, by name; their short names stay free for others."""
    names = [path.stem for path in FOLDER.glob("*.py") if path.stem != "__main__"]
    sys.path.insert(0, str(FOLDER))
    try:
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            sys.modules.pop(name, None)
