"""What DCGM says in its JSON, and what is made of it."""

import json

import pytest
from ansible.module_utils.nvidia import dcgm
from hypothesis import given
from hypothesis import strategies as st

PENDING = ("Page Retirement/Row Remap: A pending retired page has been detected in GPU 1.", 6, 10, 6)


def warning(text, code=0, category=0, severity=0):
    return {"warning": text, "error_id": code, "error_category": category, "error_severity": severity}


def reported(*gpus, name="software", summary=None):
    """DCGM's JSON for GPUs in their order, each (status, warning, ...); summary: the same for the whole test."""
    results = [
        {"entity_group": "GPU", "entity_id": number, "status": status, "warnings": [warning(*one) for one in warnings]}
        for number, (status, *warnings) in enumerate(gpus)
    ]
    test = {"name": name, "results": results}
    if summary:
        test["test_summary"] = {"status": summary[0], "warnings": [warning(*one) for one in summary[1:]]}
    return json.dumps({"DCGM Diagnostic": {"test_categories": [{"category": "Deployment", "tests": [test]}]}})


@pytest.fixture
def answers(monkeypatch):
    """answers(status, out, err): what dcgmi says; the answer that is made of it."""

    def ask(*answer):
        monkeypatch.setattr(dcgm, "run", lambda argv, limit: answer)
        return dcgm.diagnose()

    return ask


def test_nothing_wrong(answers):
    found = answers(0, reported(("Pass",), ("Skip",), summary=("Pass",)), "")
    assert (found.reported, found.results, found.faults) == ("", 2, [])


def test_a_part_of_the_test_that_a_gpu_fails(answers):
    (fault,) = answers(226, reported(("Pass",), ("Fail", PENDING), summary=("Fail", PENDING)), "").faults
    assert fault == ("Page Retirement/Row Remap", 1, "A pending retired page has been detected in GPU 1.", 6, 10, 6)


def test_what_is_no_gpu_s_stands_in_the_summary_alone(answers):
    text = reported(("Pass",), summary=("Warn", ("Permissions and OS Blocks: The number of GPUs differs", 20, 3, 5)))
    (fault,) = answers(0, text, "").faults
    assert (fault.test, fault.gpu, fault.text) == ("Permissions and OS Blocks", None, "The number of GPUs differs")


def test_a_bad_status_without_a_word(answers):
    (fault,) = answers(0, reported(("Fail",), name="memory", summary=("Fail",)), "").faults
    assert fault[:3] == ("memory", 0, "Fail")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((1, "", "Error: Unable to connect to host engine."), "Unable to connect"),
        ((1, "Error: unable to establish\nError: Unable to connect to host engine.\n", ""), "Unable to connect"),
        (
            (217, json.dumps({"DCGM Diagnostic": {"runtime_error": "Error:\nReturn: (-39)"}}), ""),
            "Error: Return: (-39)",
        ),
        ((0, "{}", ""), "{}"),
        ((9, "", ""), "status 9"),
        ((127, "", "timeout: failed to run command 'dcgmi'"), "failed to run"),
        ((124, reported(("Pass",)), ""), "no answer in 120 s"),
        ((137, "", ""), "no answer in 120 s"),
    ],
)
def test_no_diagnosis(answers, answer, words):
    assert words in answers(*answer).reported


def test_dcgmi_is_asked_to_end_when_it_is_late(monkeypatch, tmp_path):
    """Killed, it would leave the diagnosis running in its host engine."""
    program = tmp_path / "dcgmi"
    program.write_text(f"#!/bin/sh\ntrap 'touch {tmp_path}/ended; exit 0' TERM\nsleep 30 & wait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(dcgm, "COMMAND", [word if word != str(dcgm.LIMIT_S) else "0.2" for word in dcgm.COMMAND])
    assert dcgm.diagnose().status == 124
    assert (tmp_path / "ended").exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["DCGM Diagnostic", "test_categories", "tests", "results", "warnings", "status"]), inner
        )
    ),
    max_leaves=20,
)


@given(thing=JSON)
def test_no_json_breaks_it(thing):
    for text in (json.dumps(thing), json.dumps({"DCGM Diagnostic": {"test_categories": [{"tests": thing}]}})):
        assert isinstance(dcgm.faults(dcgm.tests(dcgm.part(text))), list)
