"""The Molecule scenarios: check mode on blank servers, converge, idempotence, verify. `default` is test_24's."""

import pytest

from tests.scenarios.support.molecule import scenario
from tests.scenarios.support.stories import with_all


@with_all
@pytest.mark.parametrize("name", ["podman", "fleet"])
def test_scenario(name):
    scenario(name)
