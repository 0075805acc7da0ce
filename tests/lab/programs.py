"""Loads the lab's stand-in programs, which have no .py ending, as modules."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

LAB = Path(__file__).resolve().parents[2] / "lab"


def load(relative: str) -> ModuleType:
    path = LAB / relative
    name = "simulated_" + path.name.replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceFileLoader(name, str(path)))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
