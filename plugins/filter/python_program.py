"""A filter that makes one program for servers of a module utility and of all that it imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path

DOCUMENTATION = """
name: python_program
short_description: Makes one Python program of a module utility with a C(main), and of the module utilities that it imports
description:
  - The program runs on a server by itself, with the standard library alone, and imports what it carries by the usual names.
positional: _input
options:
  _input:
    description: Name of the module utility below C(plugins/module_utils), such as C(watch.main).
    type: str
    required: true
"""
EXAMPLES = """
- name: Write the program
  ansible.builtin.copy:
    content: "{{ 'watch.main' | python_program }}"
    dest: /usr/local/lib/deepgram/deepgram-watch
    mode: "0755"
"""
RETURN = """
_value:
  description: The program's text.
  type: str
"""

FOLDER = Path(__file__).resolve().parents[1] / "module_utils"
PACKAGE = "ansible.module_utils"
# The same in a collection, whose files import each other by its name; a server has neither, and gets the same program from both.
IN_COLLECTION = re.compile(r"\bansible_collections\.\w+\.\w+\.plugins\.module_utils\b")
HEAD = """\
#!/usr/bin/python3 -B
# Written by Ansible: changes made here are lost.
import importlib.abc
import importlib.machinery
import sys

SOURCES = {
"""
TAIL = '''\
}


class Carried(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the modules that this program carries."""

    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.machinery.ModuleSpec(name, self, is_package=self.is_package(name))

    def is_package(self, name):
        return any(one.startswith(name + ".") for one in SOURCES)

    def get_source(self, name):
        return SOURCES[name]


sys.meta_path.insert(0, Carried())

import ENTRY as entry  # noqa: E402

entry.main()
'''


def python_program(entry):
    """The program of a module utility."""
    found = carried(entry)
    packages = {PACKAGE.partition(".")[0]: "", PACKAGE: ""}
    listed = "".join(f"    {name!r}: {text!r},\n" for name, text in sorted({**packages, **found}.items()))
    return HEAD + listed + TAIL.replace("ENTRY", f"{PACKAGE}.{entry}")


def carried(entry):
    """{full name: source} of a module utility, of all that it imports, and of their packages."""
    found, waiting = {}, [entry]
    while waiting:
        name = waiting.pop()
        path = file_of(name)
        if path is None or f"{PACKAGE}.{name}" in found:
            continue
        text = IN_COLLECTION.sub(PACKAGE, path.read_text(encoding="utf-8"))
        found[f"{PACKAGE}.{name}"] = text
        waiting += [*imported(text), *([name.rpartition(".")[0]] if "." in name else [])]
    return found


def file_of(name):
    """The file of a module or package; None for what is none."""
    place = FOLDER.joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def imported(text):
    """What a source may import of the module utilities: `from X import y` may mean X.y or a name in X."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE + "."):
            module = node.module[len(PACKAGE) + 1 :]
            yield module
            yield from (f"{module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.Import):
            yield from (one.name[len(PACKAGE) + 1 :] for one in node.names if one.name.startswith(PACKAGE + "."))


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"python_program": python_program}
