"""Which hosts a play has, by the groups of an inventory."""

import pytest

from tests.roles_app.conftest import load

play_hosts = load("filter", "play_hosts").play_hosts


@pytest.mark.parametrize(
    ("groups", "names", "pattern"),
    [
        (["node", "api", "billing"], ["gpus"], "node"),
        (["node", "api", "billing"], ["deepgram"], "node:api"),
        (
            ["node", "api", "engine", "license_proxy", "billing"],
            ["containers"],
            "node:api:engine:license_proxy:billing",
        ),
        (["node", "proxy"], ["containers", "proxy", "monitoring"], "node:proxy"),
        (["proxy"], ["containers"], "all:!all"),
        ([], ["billing"], "all:!all"),
    ],
)
def test_a_play_names_the_groups_that_are_there(groups, names, pattern):
    assert play_hosts({group: ["a"] for group in groups}, *names) == pattern
