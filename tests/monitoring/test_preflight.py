"""Preflight says where a system has no Prometheus or no node exporter, and what to set instead."""

import pytest

from tests.roles_app.conftest import load  # noqa: F401 - makes ansible.module_utils find this checkout's

from ansible.module_utils.preflight import support  # isort: skip

TABLE = {"apt": ["prometheus-node-exporter"], "dnf": []}


def found(packages, own):
    system = {"name": "Some Linux 9", "packages": packages}
    asked = [{"what": "node exporter", "packages": own, "table": TABLE, "advice": "set x to false, or y"}]
    (one,) = support.packaged(system, asked)
    return one


@pytest.mark.parametrize(
    ("packages", "own", "verdict", "seen"),
    [
        ("apt", [], "pass", "prometheus-node-exporter"),
        ("dnf", ["node_exporter"], "pass", "node_exporter"),
        ("dnf", [], "fail", "Some Linux 9 has none in its own repositories"),
    ],
)
def test_what_a_system_has(packages, own, verdict, seen):
    one = found(packages, own)
    assert (one["check"], one["verdict"], one["seen"]) == ("node exporter", verdict, seen)
    assert ("set x to false, or y to the packages of a repository" in one["fix"]) is (verdict == "fail")


def test_nothing_is_asked_where_nothing_watches():
    assert support.packaged({"name": "x", "packages": "dnf"}, []) == []
