"""DCGM's own diagnosis as a finding."""

import json

import pytest
from ansible.module_utils import dcgm


def said(*statuses):
    results = [{"entity_group": "GPU", "entity_id": number, "status": one} for number, one in enumerate(statuses)]
    tests = [{"name": "software", "results": results}]
    return json.dumps({"DCGM Diagnostic": {"test_categories": [{"category": "Deployment", "tests": tests}]}})


@pytest.mark.parametrize(
    ("answer", "verdict", "seen"),
    [
        ((0, said("Pass", "Skip"), ""), "pass", "2 results, none failed"),
        ((226, said("Pass", "Fail"), ""), "fail", "software GPU 1: Fail"),
        ((0, said("Warn"), ""), "fail", "software GPU 0: Warn"),
        ((1, "", "Error: Unable to connect to host engine."), "fail", "Unable to connect"),
        ((0, "{}", ""), "fail", "{}"),
        ((127, "", "dcgmi: not found"), "skip", "not installed"),
        ((124, "", "dcgmi: no answer in 180 s"), "fail", "no answer"),
    ],
)
def test_diagnosis(monkeypatch, answer, verdict, seen):
    monkeypatch.setattr(dcgm, "run", lambda argv, limit: answer)
    found = dcgm.diagnose()
    assert found["verdict"] == verdict and seen in found["seen"] and bool(found["fix"]) == (verdict != "pass")


def test_level_and_its_limit(monkeypatch):
    asked = []
    monkeypatch.setattr(dcgm, "run", lambda argv, limit: asked.append((argv, limit)) or (0, said("Pass"), ""))
    dcgm.diagnose(2)
    assert asked == [(["dcgmi", "diag", "-r", "2", "-j"], 900)]
