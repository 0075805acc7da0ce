"""With NGINX stopped or masked one check says so with the command, and those that follow from it are not asked."""

import pytest

from dgctl.verify import facts
from dgctl.verify.checks import test_tls
from dgctl.verify.expect import Expect, Unmet


def running(unit):
    noted = {}
    test_tls.test_running(unit, Expect(noted.__setitem__))
    return noted


def test_a_masked_nginx_is_named_with_the_command():
    with pytest.raises(Unmet) as unmet:
        running({"ActiveState": "inactive", "UnitFileState": "masked"})
    assert unmet.value.said["seen"] == "nginx is masked"
    assert unmet.value.said["fix"].startswith("systemctl unmask nginx; ")


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_a_stopped_nginx(state):
    with pytest.raises(Unmet) as unmet:
        running({"ActiveState": state, "UnitFileState": "enabled"})
    assert unmet.value.said["seen"] == f"nginx is {state}" and "unmask" not in unmet.value.said["fix"]


def test_one_that_runs():
    assert running({"ActiveState": "active", "UnitFileState": "enabled"})["seen"] == "nginx is active"


def test_what_needs_it_says_what_it_follows_from():
    proxy = facts.proxy.__wrapped__ if hasattr(facts.proxy, "__wrapped__") else facts.proxy._get_wrapped_function()
    with pytest.raises(pytest.skip.Exception, match="follows from: nginx is not running"):
        proxy({"ActiveState": "inactive"}, None, "192.0.2.11", False, "gpu1", {}, {})
