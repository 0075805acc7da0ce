"""What counts as proof that a server works: a test request that passed through it, and nothing that was not asked."""

from __future__ import annotations

import pytest

from dgctl import outcomes
from dgctl.report import FAIL, PASS, SKIP, Check
from tests.plan.test_rollout import deployment


def checks(**verdicts: str) -> list[Check]:
    found = {"driver.loaded": PASS} | {f"transcription.{name}": verdict for name, verdict in verdicts.items()}
    return [Check("gpu1", name, verdict, f"why {name}") for name, verdict in found.items()]


@pytest.mark.parametrize(
    ("verdicts", "proven"),
    [
        ({"file": PASS, "stream": PASS}, True),
        ({"file": PASS, "stream": SKIP}, True),
        ({"flux": PASS}, True),
        ({"file": SKIP, "stream": SKIP}, False),
        ({}, False),
    ],
)
def test_a_skipped_transcription_is_no_proof(verdicts: dict[str, str], proven: bool) -> None:
    of = deployment(node=["gpu1"])
    found = outcomes.unproven(of, ["gpu1"], checks(**verdicts))
    assert (found == []) is proven
    if not proven:
        (check,) = found
        assert (check.host, check.check, check.verdict) == ("gpu1", "transcription", FAIL)
        assert "deepgram_verify_model" in check.fix
        assert check.seen == (
            "why transcription.file; why transcription.stream" if verdicts else "no test request was made"
        )


def test_what_fails_already_is_not_said_twice() -> None:
    of = deployment(node=["gpu1"])
    gone = [Check("gpu1", "reachable", FAIL), Check("gpu1", "transcription.file", SKIP, "not asked")]
    assert outcomes.unproven(of, ["gpu1"], gone) == []
    assert outcomes.unproven(of, ["gpu1"], [*checks(), Check("gpu1", "transcription.file", FAIL)]) == []


def test_servers_without_an_api_are_asked_through_others() -> None:
    of = deployment(engine=["gpu1"], proxy=["lb"], api=["api1"])
    of.hosts["gpu1"].vars["deepgram_parts"] = ["engine"]
    assert outcomes.unproven(of, ["gpu1", "lb"], []) == []
