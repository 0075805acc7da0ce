"""What counts as proof that a server works: a test request that passed through it, and nothing that was not asked."""

from __future__ import annotations

import pytest

from dgctl.output.report import FAIL, NO_API_YET, PASS, SKIP, Check
from dgctl.run import outcomes
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
    missing = [Check("gpu1", "reachable", FAIL), Check("gpu1", "transcription.file", SKIP, "not asked")]
    assert outcomes.unproven(of, ["gpu1"], missing) == []
    assert outcomes.unproven(of, ["gpu1"], [*checks(), Check("gpu1", "transcription.file", FAIL)]) == []


def test_a_proxy_is_asked_through_the_servers_behind_it() -> None:
    assert outcomes.unproven(deployment(node=["gpu1"], proxy=["lb"]), ["lb"], []) == []


@pytest.mark.parametrize(
    ("verdict", "why", "proven"),
    [
        (PASS, "", True),
        (SKIP, f"{NO_API_YET}: api1: no API runs", True),
        (SKIP, "no model in deepgram_models_links transcribes speech", False),
        (None, "", False),
    ],
)
def test_an_engine_alone_is_proven_through_an_api_or_with_the_first_that_asks_it(
    verdict: str | None, why: str, proven: bool
) -> None:
    of = deployment(engine=["gpu1"], api=["api1"])
    of.hosts["gpu1"].vars["deepgram_parts"] = ["engine"]
    own = [Check("gpu1", "transcription.engine", verdict, why)] if verdict else []
    found = outcomes.unproven(of, ["gpu1"], [Check("gpu1", "driver.loaded", PASS), *own])
    assert [check.seen for check in found] == ([] if proven else [why or "no test request was made"])


def test_an_api_is_not_excused_by_what_is_said_of_engines() -> None:
    of = deployment(node=["gpu1"])
    skipped = [Check("gpu1", "transcription.file", SKIP, f"{NO_API_YET}: never said of an API")]
    assert [check.verdict for check in outcomes.unproven(of, ["gpu1"], skipped)] == [FAIL]
