"""What a module documents: its own options, and those of the fragments that it names."""

import re
import runpy
from typing import Any

import yaml

from tests.paths import PROJECT

PAGE = re.compile(r'^DOCUMENTATION = r?"""(.*?)"""', re.MULTILINE | re.DOTALL)


def page(module: str) -> dict[str, Any]:
    """What plugins/modules/MODULE.py itself says."""
    return yaml.safe_load(PAGE.search((PROJECT / f"plugins/modules/{module}.py").read_text())[1])


def options(module: str) -> dict[str, Any]:
    """Its options, with those of its fragments."""
    reported = page(module)
    found = dict(reported.get("options") or {})
    for name in reported.get("extends_documentation_fragment", []):
        file, _, part = name.partition(".")
        fragment = runpy.run_path(str(PROJECT / f"plugins/doc_fragments/{file}.py"))["ModuleDocFragment"]
        found |= yaml.safe_load(getattr(fragment, part.upper() or "DOCUMENTATION")).get("options", {})
    return found
