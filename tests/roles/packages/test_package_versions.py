"""Versions of packages, as dpkg and rpm write them."""

import pytest
from ansible.module_utils.packages import versions as packages_versions


@pytest.mark.parametrize(
    ("requested", "have", "expected"),
    [
        ("a", "1", True),
        ("a=1.2-1", "1.2-1", True),
        ("a=1.2-1", "1:1.2-1", True),
        ("a=1.2-1", "1.2-10", False),
        ("a=580.*", "580.95.05-1", True),
        ("a=580.*", "5801.1-1", False),
        ("a=580.95.05-*", "580.95.05-1", True),
        ("a", None, False),
    ],
)
def test_satisfied(requested, have, expected):
    assert packages_versions.satisfied(requested, {"a": have} if have else {}) is expected


def test_upstream():
    assert [packages_versions.upstream(v) for v in ("580.173.02-1", "1:580.95.05-0ubuntu1")] == [
        "580.173.02",
        "580.95.05",
    ]
