"""Which tests are a host's: those that import nothing of the controller's, themselves or through other tests."""

import ast
from functools import cache
from pathlib import Path

from tests.paths import PROJECT

BY_PATH = ("test_module_cache.py",)  # loads a callback by its path
FOLDERS = ("roles", "roles_app", "doctor", "rollback", "logs", "monitoring")  # of tests/: what tests modules


def of_hosts() -> list[str]:
    """Test files, relative to the checkout."""
    tests = sorted(path for folder in FOLDERS for path in (PROJECT / "tests" / folder).rglob("test_*.py"))
    return [str(path.relative_to(PROJECT)) for path in tests if path.name not in BY_PATH and not _controllers(path)]


@cache
def _controllers(path: Path) -> bool:
    names = list(_imported(path))
    return any(map(_is_controllers, names)) or any(_controllers(file) for file in map(_file, names) if file)


def _is_controllers(name: str) -> bool:
    top, _, rest = name.partition(".")
    return top in ("bench", "dgctl", "tomllib") or (top == "ansible" and not rest.startswith("module_utils"))


def _file(name: str) -> Path | None:
    """The file of a module of tests/."""
    path = PROJECT / (name.replace(".", "/") + ".py")
    return path if name.startswith("tests.") and path.exists() else None


def _imported(path: Path):
    """Full names of the modules that a test imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = ".".join(path.parent.relative_to(PROJECT).parts) + "." if node.level else ""
            module = here + (node.module or "")
            yield module
            yield from (f"{module.rstrip('.')}.{alias.name}" for alias in node.names)
