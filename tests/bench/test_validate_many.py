"""What `validate` costs: the verdicts, and that what is measured is a deployment that is valid."""

from pathlib import Path

from bench.parts import validate_many
from dgctl.deployment import deployment, vault
from dgctl.validation import problems


def result(*cpu_s: float) -> dict[str, dict[str, float]]:
    return {
        str(size): {"cpu_s": cpu, "wall_s": cpu, "peak_mb": 90.0}
        for size, cpu in zip(validate_many.LIMITS_S, cpu_s, strict=True)
    }


def failed(*cpu_s: float) -> list[str]:
    return [verdict.what for verdict in validate_many.verdicts(result(*cpu_s)) if verdict.verdict == "fail"]


def test_what_is_within_its_limits() -> None:
    assert failed(0.5, 0.7, 1.5, 5.5) == []
    assert failed(0.5, 1.1, 1.5, 5.5) == ["wall, 200 hosts"]
    assert failed(0.5, 0.7, 1.5, 8.0) == ["CPU a host beyond the start: 5000 hosts / 1000 hosts"]


def test_what_is_measured_is_valid(tmp_path: Path) -> None:
    inventory = validate_many.write(tmp_path / "d", 5).inventory
    with vault.opened(inventory, (), (), False) as passwords:
        found = deployment.load(inventory, passwords, None)
    assert problems(found) == [] and len(found.targets) == 5
    assert found.hosts["gpu3"].vars["nginx_proxy_server_name"] == "rack2.west.example.com"
