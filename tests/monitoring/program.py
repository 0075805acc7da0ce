"""The exporter's modules, which import each other by their short names."""

import importlib.util
import sys
from types import SimpleNamespace

from tests.paths import PROJECT

FOLDER = PROJECT / "roles/host_metrics/files/exporter"


def program():
    """All of them, by name; their short names stay free for others."""
    names = [path.stem for path in FOLDER.glob("*.py") if path.stem != "__main__"]
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("deepgram_metrics", FOLDER / "__main__.py")
        server = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(server)
        return SimpleNamespace(server=server, **{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            sys.modules.pop(name, None)
