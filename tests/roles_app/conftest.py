"""Lets the tests import modules, module_utils and filters of this checkout as Ansible does."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

from tests import utilities

ROOT = Path(__file__).parents[2]
utilities.use()


def results(monkeypatch, module, params, check_mode=False):
    """What the module's `main` says, success or failure, as each ends with SystemExit."""
    reported = []

    def end(**words):
        reported.append(words)
        raise SystemExit

    one = SimpleNamespace(params=params, check_mode=check_mode, exit_json=end, fail_json=end)
    monkeypatch.setattr(module, "AnsibleModule", lambda **_: one)
    return reported


def load(kind, name):
    """A plugin file as a Python module; `kind` is modules or filter."""
    key = f"dgctl_{kind}_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, ROOT / "plugins" / kind / f"{name}.py")
        sys.modules[key] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[key])
    return sys.modules[key]
