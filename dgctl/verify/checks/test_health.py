"""What the doctor looks at beyond the other checks: is anything wrong with the host that only bites later?"""

import pytest
from testinfra.host import Host

from dgctl.verify import health


@pytest.fixture(scope="module")
def findings(host: Host, host_name: str, desired: dict, parts: list[str]) -> dict[str, dict[str, str]]:
    return health.ask(host, host_name, desired, "engine" in parts)


@pytest.mark.parametrize("health_check", health.checks())
def test_health(findings, health_check, record_property, expect):
    found = findings[health_check]
    if found["verdict"] == "skip":
        pytest.skip(found["seen"])
    record_property("cause", found.get("cause", ""))
    expect(found["seen"], found["expected"], found["fix"], ok=found["verdict"] == "pass")
