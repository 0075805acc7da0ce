"""The house: which room imports which, how full a folder is, and whether a verb's file has its name."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dgctl import cli
from dgctl.content import imports
from tests.paths import PROJECT

MOST_FILES = 25
CHECK = (
    sys.executable,
    "-c",
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))",
)
SOURCES = ("*.py", "*.yml", "*.j2", "*.toml", "*.sh", "*.md")
# Ansible wants its modules flat.
FLAT = {"plugins/modules"}


def _contract(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(CHECK, cwd=folder, capture_output=True, text=True, check=False)


def test_rooms_import_downwards():
    done = _contract(PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contract_finds_an_import_that_climbs(tmp_path):
    (tmp_path / "dgctl").mkdir()
    rooms = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    for room in rooms:
        (tmp_path / f"dgctl/{room}").mkdir()
        (tmp_path / f"dgctl/{room}/__init__.py").touch()
    (tmp_path / "dgctl/__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text((PROJECT / "pyproject.toml").read_text())
    assert _contract(tmp_path).returncode == 0
    (tmp_path / "dgctl/base/errors.py").write_text("def say():\n    from dgctl import verbs\n    return verbs\n")
    done = _contract(tmp_path)
    assert done.returncode == 1 and "dgctl.base is not allowed to import dgctl.verbs" in done.stdout


# The packages of plugins/module_utils/, from below: nouns import only lower ones; judges import nouns and are imported by none.
NOUNS = ("host", "packages", "boot", "nvidia", "containers", "deepgram", "proxy")
JUDGES = ("look", "preflight", "doctor", "snapshot", "logs")
# Views that import judges too.
VIEWS = {"watch": ("doctor",)}
UTILITIES = PROJECT / "plugins/module_utils"


def climbing(folder: Path) -> set[tuple[str, str]]:
    """(importing file, imported file) of module utilities where the second does not lie below the first."""
    found = set()
    for path in folder.rglob("*.py"):
        room = path.relative_to(folder).parts[0]
        for file in imports.imported(path, folder):
            other = file.relative_to(folder).parts[0]
            below = (
                NOUNS
                if room in JUDGES
                else (*NOUNS, *VIEWS.get(room, ()))
                if room in VIEWS
                else NOUNS[: NOUNS.index(room)]
            )
            if other != room and other not in below:
                found.add((str(path.relative_to(folder)), str(file.relative_to(folder))))
    return found


def test_module_utilities_import_downwards():
    assert {path.name for path in UTILITIES.iterdir() if path.name != "__pycache__"} == {*NOUNS, *JUDGES, *VIEWS}
    assert climbing(UTILITIES) == set()


def test_a_noun_that_imports_a_judge_is_found(tmp_path):
    for package in ("host", "doctor", "nvidia"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "nvidia/host.py").write_text("from ansible.module_utils.host import outcome\n")
    (tmp_path / "host/outcome.py").write_text("from ansible.module_utils.doctor import log\n")
    (tmp_path / "doctor/log.py").write_text("from ansible.module_utils.nvidia import host\n")
    assert climbing(tmp_path) == {("host/outcome.py", "doctor/__init__.py"), ("host/outcome.py", "doctor/log.py")}


@pytest.mark.parametrize("verb", cli.main.commands)
def test_a_verb_is_a_file_of_its_name(verb):
    assert callable(getattr(importlib.import_module(f"dgctl.verbs.{verb}"), verb))


def test_no_folder_is_too_full():
    listed = subprocess.run(["git", "ls-files", *SOURCES], cwd=PROJECT, capture_output=True, text=True, check=False)
    paths = [Path(line) for line in listed.stdout.splitlines()] or [
        path.relative_to(PROJECT) for pattern in SOURCES for path in PROJECT.rglob(pattern)
    ]
    folders = [str(path.parent) for path in paths if path.name != "__init__.py" and (PROJECT / path).exists()]
    full = {folder for folder in folders if folders.count(folder) > MOST_FILES} - FLAT
    assert full == set(), "divide a folder before it holds more"
