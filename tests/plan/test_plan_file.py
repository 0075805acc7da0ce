"""A plan in a file is read as it was written, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dgctl.base.errors import DgctlError
from dgctl.plan import plan_file
from dgctl.plan.plan import HostPlan, Plan, Step
from dgctl.plan.reasons import Reason


def plan(*steps: Step) -> Plan:
    return Plan({"gpu1": HostPlan(list(steps))}, {})


STEP = Step("deepgram", "f1", [Reason("changed", "variable x", "1", "2")])


def retained(tmp_path: Path, planned: Plan) -> dict:
    plan_file.write(planned, tmp_path / "plan.json")
    return plan_file.read(tmp_path / "plan.json")


@pytest.mark.parametrize(
    "now",
    [
        plan(STEP),
        plan(),
        plan(
            Step(
                "deepgram",
                "f1",
                (
                    Reason("unfinished", "a run ended"),
                    *STEP.reasons,
                ),
            )
        ),
        plan(Step("deepgram", "f1", (Reason("unfinished", "a run ended"),))),
    ],
    ids=["the same", "less", "unfinished", "only unfinished"],
)
def test_what_it_holds_may_be_done(tmp_path: Path, now: Plan) -> None:
    plan_file.require_within(retained(tmp_path, plan(STEP)), now)


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (plan(STEP, Step("nginx_proxy", "f2", (Reason("drifted", "file /x", "", "is gone"),))), "nginx_proxy"),
        (plan(Step("deepgram", "f3", STEP.reasons)), "something else"),
        (
            plan(
                Step(
                    "deepgram",
                    "f1",
                    (
                        *STEP.reasons,
                        Reason("drifted", "file /y", "", "is gone"),
                    ),
                )
            ),
            "reason",
        ),
        (Plan({"gpu2": HostPlan([STEP])}, {}), "not in the plan"),
    ],
    ids=["another role", "another state", "another reason", "another host"],
)
def test_more_is_refused(tmp_path: Path, now: Plan, word: str) -> None:
    with pytest.raises(DgctlError) as refused:
        plan_file.require_within(retained(tmp_path, plan(STEP)), now)
    assert refused.value.exit_code == 10
    assert word in refused.value.problems[0].what
    assert refused.value.problems[0].fix


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "hosts": [1]}', json.dumps({"format": 2})])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(DgctlError) as refused:
        plan_file.read(tmp_path / "plan.json")
    assert refused.value.exit_code == 2
