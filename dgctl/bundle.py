"""Programs for servers made of module utilities: sent along as source, in one text, and nothing is left there."""

from __future__ import annotations

import ast
import base64
import zlib
from graphlib import TopologicalSorter
from pathlib import Path

_LOADER = """\
import sys, types
def _load(name, source):
    module = sys.modules[name] = types.ModuleType(name)
    setattr(sys.modules["ansible.module_utils"], name.rpartition(".")[2], module)
    exec(compile(source, name, "exec"), module.__dict__)
for _name in ("ansible", "ansible.module_utils"):
    sys.modules[_name] = types.ModuleType(_name)
    sys.modules[_name].__path__ = []
"""


def sources(folder: Path, names: set[str]) -> str:
    """The modules `names` in `folder` and all that they import from there, in an order in which each finds its own."""
    imported: dict[str, set[str]] = {}
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        imported[name] = {other for other in _imported(text) if (folder / f"{other}.py").exists()}
        waiting |= imported[name] - imported.keys()
    lines = [_LOADER]
    for name in TopologicalSorter(imported).static_order():
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        lines.append(f'_load("ansible.module_utils.{name}", {text!r})\n')
    return "".join(lines)


def packed(program: str) -> str:
    """A program as one word: `exec(zlib.decompress(binascii.a2b_base64(WORD)).decode())` runs it."""
    return base64.b64encode(zlib.compress(program.encode())).decode()


def interpreter(named: object) -> str:
    """The Python that runs such a program: `ansible_python_interpreter` where it is a path, else the one of PATH."""
    return str(named) if str(named).startswith("/") else "python3"


def _imported(text: str) -> set[str]:
    """The module utilities that a Python source imports."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "ansible.module_utils":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.rpartition(".")[2])
    return found
