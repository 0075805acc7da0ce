"""Makes an Ansible collection of the roles, plugins and playbooks: `bin/collection [FOLDER]`, by default dist/.

In the checkout they find each other by ansible.cfg's folders and short names. A collection's have full names: here the
imports of module utilities and the names of modules, filters, documentation fragments and roles become those.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
MANIFEST = yaml.safe_load((HERE / "galaxy.yml").read_text(encoding="utf-8"))
FULL = f"{MANIFEST['namespace']}.{MANIFEST['name']}"

# The callback keeps packed modules by a fingerprint of the folders in ansible.cfg, and would not notice a newer collection.
FOLDERS = (
    "roles",
    "playbooks",
    *(f"plugins/{kind}" for kind in ("action", "doc_fragments", "filter", "modules", "module_utils")),
)
OWN = ("galaxy.yml", "README.md", "requirements.txt", "meta/runtime.yml")
ROOT = ("LICENSE", "CHANGELOG.md")
TEXTS = {".py", ".yml", ".j2"}


def _stems(folder: str) -> set[str]:
    return {path.stem for path in (PROJECT / folder).glob("*.py")}


def _any(names: Iterable[str]) -> str:
    return "(" + "|".join(sorted(names, key=len, reverse=True)) + ")"


def _filters() -> set[str]:
    """The names that the files in plugins/filter/ give, not those of the files."""
    texts = [path.read_text(encoding="utf-8") for path in (PROJECT / "plugins/filter").glob("*.py")]
    return {name for text in texts for name in re.findall(r'"(\w+)":', text.partition("def filters(self)")[2])}


ROLES = _any(path.name for path in (PROJECT / "roles").iterdir() if path.is_dir())
MODULES = _any(_stems("plugins/modules") | _stems("plugins/action"))
FRAGMENTS = _any(_stems("plugins/doc_fragments"))
FILTERS = _any(_filters())
UTILITIES = _any(path.name for path in (PROJECT / "plugins/module_utils").iterdir() if path.name != "__pycache__")
# What stands for a name in the checkout, and for the same in the collection.
_IMPORT = (
    re.compile(rf"\bansible\.module_utils\.{UTILITIES}\b"),
    rf"ansible_collections.{FULL}.plugins.module_utils.\1",
)
_TASK = (re.compile(rf"^( *(?:- )?){MODULES}:(?=$| \{{)", re.MULTILINE), rf"\g<1>{FULL}.\2:")
_FILTER = (re.compile(rf"(\|\s*){FILTERS}\b"), rf"\g<1>{FULL}.\2")
_MODULE = (re.compile(rf'"{MODULES}"'), rf'"{FULL}.\1"')
_FRAGMENT = (re.compile(rf"^(  - ){FRAGMENTS}(?=$|\.)", re.MULTILINE), rf"\g<1>{FULL}.\2")
_ROLE = (re.compile(rf"^( *- (?:role: )?){ROLES}$", re.MULTILINE), rf"\g<1>{FULL}.\2")
_INCLUDED = (re.compile(r'(\.(?:include|import)_role:\n +name: "?)'), rf"\g<1>{FULL}.")
_EXAMPLES = re.compile(r'^EXAMPLES = r?""".*?"""', re.MULTILINE | re.DOTALL)
_Change = tuple[re.Pattern[str], str]


def changes(path: Path) -> list[_Change]:
    """What becomes another text in this file of the collection."""
    top, kind = path.parts[0], path.parts[1] if path.parts[0] == "plugins" else path.parts[-2]
    if top == "plugins":
        rows = {"action": [_IMPORT, _MODULE], "modules": [_IMPORT, _FRAGMENT], "module_utils": [_IMPORT]}
        return rows.get(kind, [])
    if top == "playbooks" or kind in ("tasks", "handlers"):
        return [_TASK, _FILTER, _ROLE, _INCLUDED]
    if kind == "meta":
        return [_ROLE, _FILTER] if path.name == "main.yml" else [_FILTER]
    return [] if "files" in path.parts else [_FILTER]


def rewritten(path: Path, text: str) -> str:
    """A file's text as it stands in the collection; `path` is its place there."""
    for pattern, full in changes(path):
        text = pattern.sub(full, text)
    if path.parts[:2] == ("plugins", "modules"):
        text = _EXAMPLES.sub(lambda examples: _TASK[0].sub(_TASK[1], examples[0]), text)
    return text


def assemble(folder: Path) -> None:
    """Writes the collection's files into an empty folder."""
    for source in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        if (PROJECT / source).is_dir():
            shutil.copytree(PROJECT / source, folder / source, ignore=ignored)
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in TEXTS:
            text = path.read_text(encoding="utf-8")
            path.write_text(rewritten(path.relative_to(folder), text), encoding="utf-8")
    for place, names in ((HERE, OWN), (PROJECT, ROOT)):
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(place / name, folder / name)


def build(target: Path) -> Path:
    """Writes NAMESPACE-NAME-VERSION.tar.gz into a folder, and returns its path."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        assemble(Path(scratch))
        galaxy = Path(sys.executable).with_name("ansible-galaxy")
        command = [str(galaxy), "collection", "build", scratch, "--force", "--output-path", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return target / f"{FULL.replace('.', '-')}-{MANIFEST['version']}.tar.gz"


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else PROJECT / "dist").resolve()))
