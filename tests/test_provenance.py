"""Each stand-in program says where its behaviour is from; of what is unknown, more than one form is played."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = tomllib.loads((ROOT / "lab/provenance.toml").read_text())
BEHAVIOURS = TABLE["behaviour"]


def programs() -> list[str]:
    """Every stand-in: Deepgram's programs, what NVIDIA's packages bring and is run, and the services' configurations."""
    deepgram = [path for path in (ROOT / "lab/deepgram/programs").rglob("*.py") if path.name != "__init__.py"]
    packaged = [path for path in (ROOT / "lab/nvidia/files").rglob("*") if path.is_file() and is_program(path)]
    folders = [path for path in (ROOT / "lab/nvidia/programs").iterdir() if (path / "__init__.py").is_file()]
    services = ["etc/docker/registry/config.yml", "etc/nginx/conf.d/lab.conf"]
    found = [*deepgram, ROOT / "lab/deepgram/license_server.py", *packaged, *folders]
    found += [ROOT / "lab/services/overlay" / name for name in services]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def is_program(path: Path) -> bool:
    """Run by somebody; dpkg's own scripts are no stand-ins for anything."""
    return path.read_bytes().startswith(b"#!") and path.suffix not in (".postinst", ".prerm")


def without_source(table: list[dict], known: list[str]) -> list[str]:
    """The programs of which nothing is said."""
    return sorted(set(known) - {entry["program"] for entry in table})


def faults(entry: dict, sources: set[str]) -> list[str]:
    """What is wrong with one behaviour's entry."""
    found = [f"{path} is not there" for path in [entry["program"], *entry["relied_on"]] if not (ROOT / path).exists()]
    source, played = entry["source"], entry.get("played", [])
    cited = re.findall(r"(?:^|; )(github:\S+|\w+)", source)
    found += [f"{code} is no source" for code in cited if code not in {*sources, "unknown"} and "github:" not in code]
    samples = re.findall(r"tests/samples/[^\s,;]+", source)
    found += [f"{sample} is not there" for sample in samples if not (ROOT / sample).exists()]
    found += [f"{test} is no test" for test in played if test_function(test) is None]
    if not cited:
        found.append("no source")
    if source == "invented" and entry["relied_on"]:
        found.append("it is relied on, so it must have a source or be unknown")
    if source == "unknown" and entry["relied_on"] and not plays_forms(played):
        found.append("it is unknown and relied on, and no test plays more than one form of it")
    return [f"{entry['program']}: {entry['what']}: {fault}" for fault in found]


def plays_forms(played: list[str]) -> bool:
    """Several tests, or one with parameters."""
    return len(played) > 1 or any(parametrized(test_function(test)) for test in played)


def test_function(test: str) -> ast.FunctionDef | None:
    """The function of `file::name`, None when there is none."""
    file, _, name = test.partition("::")
    path = ROOT / file
    tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)


test_function.__test__ = False  # type: ignore[attr-defined]


def parametrized(function: ast.FunctionDef | None) -> bool:
    return function is not None and any("parametrize" in ast.dump(mark) for mark in function.decorator_list)


def test_every_stand_in_says_where_its_behaviour_is_from():
    assert without_source(BEHAVIOURS, programs()) == []


@pytest.mark.parametrize("entry", BEHAVIOURS, ids=lambda entry: entry["what"][:60])
def test_each_behaviour_has_a_source_or_is_played_in_more_than_one_form(entry):
    assert faults(entry, set(TABLE["sources"])) == []


GOOD = {"program": "lab/nvidia", "what": "x", "relied_on": ["roles/docker"], "source": "NCT"}


@pytest.mark.parametrize(
    "change",
    [
        {"program": "lab/nothing"},
        {"relied_on": ["roles/nothing"]},
        {"source": ""},
        {"source": "hearsay"},
        {"source": "invented"},
        {"source": "unknown"},
        {"source": "unknown", "played": ["tests/test_provenance.py::test_nothing"]},
        {"source": "unknown", "played": ["tests/test_provenance.py::test_the_table_is_read"]},
        {"source": "SAMPLE tests/samples/nothing.txt"},
    ],
)
def test_the_table_is_judged(change):
    assert faults(GOOD, {"NCT", "SAMPLE", "invented"}) == []
    assert faults(GOOD | change, {"NCT", "SAMPLE", "invented"})


def test_the_table_is_read():
    assert without_source([GOOD], ["lab/nvidia", "lab/new"]) == ["lab/new"]
    assert len(programs()) > 30
