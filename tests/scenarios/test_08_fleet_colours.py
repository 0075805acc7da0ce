"""The fleet in two groups that take turns: one is built beside the other under calls, then every proxy switches."""

import re

import pytest

from tests.scenarios.support.fleet import AFTER, BEFORE, active_streams, releases, settled
from tests.scenarios.support.stories import with_all

pytestmark = with_all


@pytest.fixture(scope="module")
def coloured(fleet):
    """Two nodes blue, one green; each group names its own release. Without groups again at the end."""
    inventory = fleet.deployment.inventory
    before, (*blue, green) = inventory.read_text(), [node.name for node in fleet.nodes]
    without = re.sub(r"(?m)^deepgram_release=.*\n", "", before)
    names = "\n".join(blue)
    inventory.write_text(
        f"{without}\n[blue]\n{names}\n\n[green]\n{green}\n\n"
        f"[blue:vars]\ndeepgram_release={BEFORE}\n\n[green:vars]\ndeepgram_release={BEFORE}\n"
    )
    yield fleet
    inventory.write_text(before)
    run = fleet.deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    for node in fleet.nodes:
        fleet.deployment.dgctl("undrain", node.name)
    assert releases(fleet) == {BEFORE}
    settled(fleet)


def serving(fleet) -> list[bool]:
    return [active_streams(node) > 0 for node in fleet.nodes]


def test_the_other_group_is_built_and_the_proxies_switch(coloured):
    with coloured.calls_that_lose_nothing():
        run = coloured.deployment.dgctl("upgrade", "--blue-green=green", f"--release={AFTER}", "--yes")
        assert run.exit_code == 0, run.problems() + run.stderr
    with coloured.calls():
        assert serving(coloured) == [False, False, True]
    assert releases(coloured) == {BEFORE, AFTER}


def test_and_back_without_building(coloured):
    with coloured.calls_that_lose_nothing():
        run = coloured.deployment.dgctl("upgrade", "--blue-green=blue", f"--release={BEFORE}", "--yes")
        assert run.exit_code == 0, run.problems() + run.stderr
    assert {host["changed"] for name, host in run.document["hosts"].items() if "gpu" in name} == {0}
    with coloured.calls():
        assert serving(coloured) == [True, True, False]
