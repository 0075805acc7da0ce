"""Turns pytest's reports into the fields of Checks and writes them into the pipe that suite.py reads."""

from __future__ import annotations

import json
import os
import re

import pytest

from dgctl.output.report import FAIL, PASS, SKIP
from dgctl.verify.expect import NO_CONCERN, text

LOOK_AT_LOG = "look into verify.log of this run's record"
_NODE = re.compile(r"test_(\w+)\.py::test_(\w+)\[@(.+?)@(?:-(.*))?\]$")


def identify(nodeid: str) -> tuple[str, str]:
    """Host and check: test_driver.py::test_held[@gpu1@] -> gpu1, `driver.held`; a parameter comes last.

    test_reachable.py::test_reachable gives `reachable`.
    """
    match = _NODE.search(nodeid)
    if not match:
        return "", nodeid
    subject, name, host, parameter = match.groups()
    return host, ".".join(filter(None, ["" if subject == name else subject, name, parameter]))


class Reporter:
    """Writes one JSON line for each check that begins or ends into the pipe that suite.py reads."""

    def __init__(self, descriptor: int):
        self.pipe = os.fdopen(descriptor, "w", buffering=1)
        self.done: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A failed phase of a check is its end; a passed one only when it is the call itself."""
        if report.nodeid in self.done or (report.passed and report.when != "call"):
            return
        if report.when == "teardown" and report.passed:
            return
        self.done.add(report.nodeid)
        found = finding(report)
        if not (found["verdict"] == SKIP and found["seen"] == NO_CONCERN):
            self.pipe.write(json.dumps(found) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self.pipe.close()


def finding(report: pytest.TestReport) -> dict[str, str]:
    """A report as the fields of a Check."""
    reported = {name: str(value) for name, value in report.user_properties}
    host, check = identify(report.nodeid)
    fields = {name: reported.get(name, "") for name in ("seen", "expected", "fix", "cause")}
    if report.skipped:
        fields["seen"] = str(report.longrepr[2]).removeprefix("Skipped: ")
    elif report.failed and "seen" not in reported:
        fields = {"seen": _cause(report), "expected": "an answer", "fix": LOOK_AT_LOG}
    verdict = {"passed": PASS, "failed": FAIL, "skipped": SKIP}[report.outcome]
    return fields | {"host": host, "check": check, "verdict": verdict}


def _cause(report: pytest.TestReport) -> str:
    """The last line of what pytest has to say: the exception, or the words of pytest.fail."""
    lines = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
    return text((lines or report.longreprtext.strip().splitlines() or ["no cause given"])[-1].removeprefix("E "))
