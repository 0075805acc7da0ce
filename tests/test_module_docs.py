"""What modules say of themselves: nothing twice, and what their code says."""

import re
from collections import Counter

import pytest
import yaml

from tests.documented import page
from tests.paths import PROJECT

MODULES = sorted(path.stem for path in PROJECT.glob("plugins/modules/*.py"))
LONG = 60  # characters of a description that are worth a fragment


def test_no_long_option_is_described_twice():
    reported = Counter(
        (name, yaml.safe_dump(option, width=1000))
        for module in MODULES
        for name, option in (page(module).get("options") or {}).items()
        if len(str(option["description"])) > LONG
    )
    assert [name for (name, _), times in reported.items() if times > 1] == [], "move it to plugins/doc_fragments/"


def test_what_all_say_of_check_mode_is_a_fragment():
    plain = {"support": "full"}
    assert [module for module in MODULES if page(module).get("attributes", {}) == {"check_mode": plain}] == []


@pytest.mark.parametrize("path", sorted(PROJECT.glob("plugins/doc_fragments/*.py")), ids=lambda path: path.stem)
def test_a_fragment_is_used(path):
    named = [name for module in MODULES for name in page(module).get("extends_documentation_fragment", [])]
    parts = re.findall(r"^    ([A-Z_]+) = ", path.read_text(), re.MULTILINE)
    expected = {path.stem if part == "DOCUMENTATION" else f"{path.stem}.{part.lower()}" for part in parts}
    assert {name for name in named if name.split(".")[0] == path.stem} == expected
