"""Which tests to run for a mutation: those that execute its line, or without a map the files of tests that are about it."""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from pathlib import Path

from tests.mutation.candidates import ALL, Mutation, firsts
from tests.paths import PROJECT

APART = ("scenarios", "lab", "standins", "mutation", "vm", "official")  # need the lab, or more, or test it
ENOUGH_S = 60  # of the tests that execute a line, the shortest are run, up to this sum
MOST_FILES = 3
# What is tested through something larger than itself: the start of its path, and the files of tests.
THROUGH = (
    (
        "plugins/module_utils/doctor/",
        ["tests/doctor/test_faults.py", "tests/doctor/test_rpm.py", "tests/doctor/test_parts.py"],
    ),
    ("plugins/module_utils/look/", ["tests/applied/"]),
    ("plugins/module_utils/snapshot/", ["tests/rollback/test_snapshot.py"]),
    ("plugins/modules/deepgram_snapshot", ["tests/rollback/test_snapshot.py"]),
    ("plugins/modules/image_archive", ["tests/images/test_handover.py", "tests/images/test_load.py"]),
    ("plugins/module_utils/preflight/", ["tests/roles/preflight/", "tests/roles_app/deepgram/test_preflight"]),
    ("plugins/module_utils/packages/apt/", ["tests/roles/packages/test_apt_packages.py"]),
    ("plugins/module_utils/packages/dnf/", ["tests/roles/packages/test_dnf_packages.py"]),
    ("roles/nginx_proxy", ["tests/roles_app/proxy/test_upstreams"]),
    ("roles/host_firewall", ["tests/roles_app/firewall/test_firewall.py"]),
    ("roles/host_metrics", ["tests/monitoring/test_exporter"]),
    ("dgctl/verify/checks/", ["tests/verify/test_checks.py"]),
    ("dgctl/verify/suite", ["tests/verify/test_suite.py"]),
    ("dgctl/validation/", ["tests/unit/test_validation.py", "tests/unit/validation/test_systems.py"]),
    ("dgctl/verbs/remove", ["tests/unit/verbs/test_removing.py", "tests/unit/verbs/test_confirmations.py"]),
    ("dgctl/verbs/blue_green", ["tests/unit/verbs/test_removing.py", "tests/unit/verbs/test_fleet_verbs.py"]),
    (
        "dgctl/verbs/upgrade",
        ["tests/unit/verbs/test_removing.py", "tests/unit/verbs/test_rollback_verb.py", "tests/unit/test_driver_up"],
    ),
    (
        "dgctl/verbs/",
        [
            "tests/unit/verbs/test_confirmations.py",
            "tests/unit/test_provision.py",
            "tests/unit/verbs/test_plan_verb.py",
        ],
    ),
    ("dgctl/output/report", ["tests/unit/test_findings.py", "tests/unit/test_parts.py"]),
    (
        "dgctl/run/session",
        ["tests/unit/test_cli.py", "tests/unit/rollout/test_interrupted.py", "tests/unit/test_findings.py"],
    ),
    ("dgctl/run/history", ["tests/unit/test_run_record.py", "tests/unit/test_parts.py", "tests/unit/test_files.py"]),
    (
        "dgctl/rollout/provisioning",
        ["tests/unit/test_provision.py", "tests/unit/verbs/test_plan_verb.py", "tests/plan/test_started.py"],
    ),
    (
        "dgctl/run/outcomes",
        ["tests/unit/test_provision.py", "tests/unit/test_findings.py", "tests/unit/test_run_failures.py"],
    ),
    (
        "dgctl/run/collector",
        ["tests/unit/test_run_failures.py", "tests/unit/test_findings.py", "tests/unit/test_parts.py"],
    ),
    ("dgctl/run/playbook", ["tests/unit/test_run_failures.py", "tests/unit/rollout/test_interrupted.py"]),
    ("dgctl/content", ["tests/unit/test_content.py", "tests/plan/test_look.py"]),
    ("dgctl/deployment/", ["tests/unit/test_validation.py", "tests/unit/verbs/test_fleet_verbs.py"]),
)


class ByMap:
    """From the map that `--map` has made: tests/mutation/mapping.py."""

    def __init__(self, path: Path) -> None:
        self.durations: dict[str, float] = {}
        self.tests: dict[str, set[str]] = defaultdict(set)
        self.of_file: dict[str, set[str]] = defaultdict(set)
        for part in sorted(path.glob("*.json")):
            reported = json.loads(part.read_text())
            self.durations |= reported["durations"]
            for place, tests in reported["tests"].items():
                self.tests[place].update(tests)
                self.of_file[place.rpartition(":")[0]].update(tests)
        self.untraced = self.durations.keys() - {test for tests in self.tests.values() for test in tests}
        self.by_name = ByName(PROJECT)

    def of(self, mutation: Mutation) -> list[str]:
        """Those that execute the statement; of one that no test is seen to execute, those of its file, and about it."""
        lines = range(mutation.first, mutation.last + 1)
        found = {test for line in lines for test in self.tests.get(f"{mutation.file}:{line}", ())}
        near = self.untraced if found else self.durations
        found = found or self.of_file[mutation.file]
        files = self.by_name.of(mutation)
        found = found | {test for test in near if test.partition("::")[0] in files}
        chosen, total = [], 0.0
        for test in sorted(found, key=lambda test: (self.durations[test], test)):
            total += self.durations[test]
            if chosen and total > ENOUGH_S:
                break
            chosen.append(test)
        return chosen


class ByName:
    """From what the tests import and name, the nearest first."""

    def __init__(self, root: Path) -> None:
        paths = sorted((root / "tests").rglob("test_*.py"))
        self.root = root
        self.texts = {
            str(path.relative_to(root)): path.read_text()
            for path in paths
            if path.relative_to(root / "tests").parts[0] not in APART and path.parent != root / "tests"
        }
        self.sources = {file: (root / file).read_text() for file in {one.file for one in firsts(root, ALL)}}

    def of(self, mutation: Mutation) -> list[str]:
        return self._of_file(mutation.file)

    @functools.cache  # noqa: B019 - there is one, for as long as the run
    def _of_file(self, file: str) -> list[str]:
        found = self._about(file)
        for other in self._importers(file):  # of what no test names, the tests of those that use it
            found |= {path: near + 4 for path, near in self._about(other).items() if path not in found}
        return sorted(found, key=lambda path: (found[path], len(self.texts[path]), path))[:MOST_FILES]

    def _importers(self, file: str) -> list[str]:
        stem = Path(file).stem
        imports = re.compile(rf"^\s*(from|import) .*\b{stem}\b", re.M)
        return sorted(
            other
            for other, text in self.sources.items()
            if other != file and stem in text and _has_line(text, stem, imports)
        )

    def _about(self, file: str) -> dict[str, int]:
        """File of tests -> how far it is from this file: 0 for its own."""
        stem, found = Path(file).stem, {}
        imported = re.compile(rf"^\s*(from|import) .*\b{stem}\b|^    {stem},$|[\"']{stem}[\"'.]|\b{stem} = load", re.M)
        through = [place for start, places in THROUGH if file.startswith(start) for place in places]
        for path, text in self.texts.items():
            if Path(path).stem in (f"test_{stem}", f"test_{stem}_verb"):
                found[path] = 0
            elif any(path.startswith(place) for place in through):
                found[path] = 1
            elif stem in text and _has_line(text, stem, imported):
                found[path] = 1 if text.count(stem) > 3 else 2
        return found


def _has_line(text: str, word: str, pattern: re.Pattern[str]) -> bool:
    """Whether the pattern is in a line with the word: ten times as fast as in the whole text."""
    return any(pattern.search(line) for line in text.splitlines() if word in line)
