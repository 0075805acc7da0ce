"""What a plugin imports, in every form; neither a fingerprint nor a program for servers depends on where a file lies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dgctl import content
from dgctl.content import bundle, imports, roles
from tests.paths import PROJECT

UTILITIES = {
    "one.py": "ONE = 1\n",
    "two.py": "from ansible.module_utils import one\nTWO = one.ONE + 1\n",
    "pkg/__init__.py": "",
    "pkg/three.py": "from ansible.module_utils.two import TWO\nTHREE = TWO + 1\n",
    "pkg/four.py": "from . import three\nfrom ..one import ONE\nFOUR = three.THREE + ONE\n",
    "pkg/deep/__init__.py": "from .five import FIVE\n",
    "pkg/deep/five.py": "from ansible.module_utils.pkg import four as near\nFIVE = near.FOUR + 1\n",
}
# A statement in a module beside the utilities, and the files that it comes to.
FORMS = {
    "import os, json": [],
    "from ansible.module_utils.basic import AnsibleModule": [],
    "from ansible.module_utils import one": ["one.py"],
    "from ansible.module_utils import (\n    one,\n    two as other,\n)": ["one.py", "two.py"],
    "import ansible.module_utils.one": ["one.py"],
    "from ansible.module_utils.one import ONE": ["one.py"],
    "from ansible.module_utils.pkg import three": ["pkg/__init__.py", "pkg/three.py", "two.py", "one.py"],
    "from ansible.module_utils.pkg.three import THREE": ["pkg/__init__.py", "pkg/three.py", "two.py", "one.py"],
    "from ansible_collections.any.name.plugins.module_utils.two import TWO": ["two.py", "one.py"],
    "from ansible_collections.any.name.plugins.module_utils import two": ["two.py", "one.py"],
    "from ..module_utils.one import ONE": ["one.py"],
    "from ..module_utils.pkg import four": ["pkg/__init__.py", "pkg/four.py", "pkg/three.py", "two.py", "one.py"],
    "from ansible.module_utils.pkg.deep import FIVE": [*(name for name in UTILITIES)],
    "# import one\nx = 1  # import two": [],
    "from ansible.module_utils import one, \\\n    two": ["one.py", "two.py"],
    "def later():\n    from ansible.module_utils import one": ["one.py"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "plugins/module_utils"
    for name, text in UTILITIES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    (tmp_path / "plugins/modules").mkdir()
    return made


@pytest.mark.parametrize("statement", FORMS)
def test_every_form_of_an_import_is_followed(folder: Path, statement: str) -> None:
    module = folder.parent / "modules/some.py"
    module.write_text(f"{statement}\n")
    found = {str(path.relative_to(folder)) for path in imports.closure([module], folder) if path != module}
    assert found == set(FORMS[statement])


def test_a_program_for_servers_has_packages_and_relative_imports(folder: Path) -> None:
    program = bundle.sources(folder, ["pkg.deep.five"]) + "print(sys.modules['ansible.module_utils.pkg.deep'].FIVE)\n"
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == "5\n", done.stderr


def tree(place: Path, utility: str, statement: str, body: str = "VALUE = 1\n") -> Path:
    """Content with a role whose one module imports a utility."""
    files = {
        "roles/some/tasks/main.yml": "- some_module: {}\n",
        "roles/some/defaults/main.yml": "{}\n",
        "plugins/modules/some_module.py": f"import os\n{statement}\n\nprint(os, VALUE)\n",
        f"plugins/module_utils/{utility}": body,
        "plugins/action/none.py": "",
        "plugins/filter/none.py": "",
    }
    if "/" in utility:
        files["plugins/module_utils/" + utility.rpartition("/")[0] + "/__init__.py"] = ""
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def fingerprint(monkeypatch: pytest.MonkeyPatch, place: Path) -> str:
    monkeypatch.setattr(content, "root", lambda: place)
    return roles.role("some").content


def test_a_utility_that_moves_changes_no_role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else an upgrade of dgctl in which files only moved would run every role on every server."""
    flat = fingerprint(monkeypatch, tree(tmp_path / "1", "values.py", "from ansible.module_utils.values import VALUE"))
    moved = tree(tmp_path / "2", "host/numbers.py", "from ansible.module_utils.host.numbers import VALUE")
    assert fingerprint(monkeypatch, moved) == flat


@pytest.mark.parametrize(
    ("utility", "statement"),
    [
        ("values.py", "from ansible.module_utils.values import VALUE"),
        ("host/values.py", "from ansible.module_utils.host.values import VALUE"),
        ("host/values.py", "from ansible.module_utils.host import values\nVALUE = values.VALUE"),
        ("host/values.py", "from ..module_utils.host.values import VALUE"),
    ],
)
def test_an_edit_of_a_utility_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, utility: str, statement: str
) -> None:
    before = fingerprint(monkeypatch, tree(tmp_path / "1", utility, statement))
    after = fingerprint(monkeypatch, tree(tmp_path / "2", utility, statement, "VALUE = 2\n"))
    assert before != after


def test_a_utility_that_is_empty_but_for_its_package_is_no_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tree(tmp_path / "1", "values.py", "from ansible.module_utils.values import VALUE")
    before = fingerprint(monkeypatch, place)
    (place / "plugins/module_utils/unused.py").write_text("X = 1\n")
    roles._role.cache_clear()
    assert fingerprint(monkeypatch, place) == before


def test_what_a_module_s_page_says_is_no_part_of_a_role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else a better description of an option would restart Engines."""
    place = tree(tmp_path, "values.py", "from ansible.module_utils.values import VALUE")
    module, found = place / "plugins/modules/some_module.py", set()
    source = module.read_text()
    for page in (
        "",
        'DOCUMENTATION = r"""\nmodule: some\n"""\n',
        'DOCUMENTATION = """\na\n"""\nRETURN = r"""\nb\n"""\n',
    ):
        module.write_text(page + source)
        roles._role.cache_clear()
        found.add(fingerprint(monkeypatch, place))
    assert len(found) == 1
    module.write_text(source.replace("VALUE)", "VALUE + 1)"))
    roles._role.cache_clear()
    assert fingerprint(monkeypatch, place) not in found


def test_a_readme_is_no_part_of_a_role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else a better description of a variable would restart Engines."""
    place = tree(tmp_path, "values.py", "from ansible.module_utils.values import VALUE")
    before = fingerprint(monkeypatch, place)
    for text in ("# some\n", "# other, and deepgram_word\n"):
        (place / "roles/some/README.md").write_text(text)
        roles._role.cache_clear()
        assert fingerprint(monkeypatch, place) == before and "deepgram_word" not in roles.role("some").words


def test_what_a_role_reads_of_other_servers_is_a_computed_default() -> None:
    """Else each changed variable of any server counts as a change of every other (a word in a comment is enough)."""
    names = {path.parent.parent.name for path in (PROJECT / "roles").glob("*/tasks/main.yml")}
    readers = {name for name in names if roles.role(name).read & {"hostvars", "groups"}}
    assert readers <= {"host_metrics", "monitoring", "platform", "preflight"}
