"""Programs for servers made of module utilities: sent along as source, in one text, and nothing is left there."""

from __future__ import annotations

import base64
import functools
import zlib
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

from dgctl.content.imports import closure, files_of, imported

# A password for sudo comes first on stdin, and is still there where sudo did not ask for it.
START = "#program\n"
BOOT = (
    "import sys,zlib,binascii;"
    f"_program,_,_request=sys.stdin.read().partition({START!r})[2].partition('\\n');"
    "exec(zlib.decompress(binascii.a2b_base64(_program)).decode())"
)
_LOADER = """\
import sys, types
def _make(name, package):
    module = sys.modules[name] = types.ModuleType(name)
    module.__package__ = name if package else name.rpartition(".")[0]
    if package:
        module.__path__ = []
    if name != "ansible":
        parent, _, last = name.rpartition(".")
        setattr(sys.modules[parent], last, module)
def _run(name, source):
    exec(compile(source, name, "exec"), sys.modules[name].__dict__)
for _name in ("ansible", "ansible.module_utils"):
    _make(_name, True)
"""


def sources(folder: Path, names: Iterable[str]) -> str:
    """The modules `names` in `folder` and all that they import from there, in an order in which each finds its own."""
    asked = {path for name in names for path in files_of(tuple(name.split(".")), folder)}
    paths = closure(asked, folder)
    order = [*TopologicalSorter({path: imported(path, folder) for path in paths}).static_order()]
    dotted = {path: _name(path, folder) for path in order}
    made = [
        f"_make({dotted[path]!r}, {path.name == '__init__.py'})\n" for path in sorted(order, key=dotted.__getitem__)
    ]
    run = [f"_run({dotted[path]!r}, {path.read_text(encoding='utf-8')!r})\n" for path in order]
    return "".join([_LOADER, *made, *run])


def _name(path: Path, folder: Path) -> str:
    place = path.parent if path.name == "__init__.py" else path.with_suffix("")
    return ".".join(("ansible.module_utils", *place.relative_to(folder).parts))


def packed(program: str) -> str:
    """A program as one word."""
    return base64.b64encode(zlib.compress(program.encode())).decode()


def call(entry: str) -> str:
    """The end of a program: the module `entry` carries out the request."""
    return f"import ansible.module_utils.{entry} as _entry\n_entry.main(_request)\n"


@functools.cache
def program(folder: Path, entry: str) -> str:
    """The module `entry` of `folder` and all that it needs, as one word."""
    return packed(sources(folder, {entry}) + call(entry))


def stdin(word: str, request: str) -> str:
    """What `python -c BOOT` reads from stdin: it runs the packed program, which finds the request in `_request`."""
    return f"{START}{word}\n{request}"


def interpreter(named: object) -> str:
    """The Python that runs such a program: `ansible_python_interpreter` where it is a path, else the one of PATH."""
    return str(named) if str(named).startswith("/") else "python3"
