"""Verify names one cause of what fails on a server, and folds the rest under it."""

import graphlib

import pytest

from dgctl import content
from dgctl.output.report import Check, states_of_checks
from dgctl.verify import causes, health
from tests.verify.test_health import suites_checks

PARTS = ("engine", "api", "license-proxy", "billing")


def names():
    """Every check as reports name it, those of a part for each part."""
    found = [name for name in suites_checks() if name != "health"]
    parts = [f"{name}.{part}" for name in found if name.startswith(("containers.", "config.")) for part in PARTS]
    return [*found, *parts, *(f"health.{name}" for name in health.checks())]


def test_every_check_is_in_the_graph():
    doctors = {f"health.{name}" for name in health.checks()}
    assert [name for name in names() if not causes.key(name) and name not in doctors] == []
    known = {f"health.{check.name}" for check in content.utility("doctor.doctor").CHECKS}
    for key, below in causes.STANDS_ON.items():
        assert any(name == key or name.startswith(f"{key}.") for name in names()), key
        for one in (ground.partition(":")[0] for ground in below):
            there = any(name == one or name.startswith(f"{one}.") for name in names())
            assert there, f"{key} stands on {one}, which verify does not check" + (" itself" if one in known else "")


def test_the_graph_has_no_circle():
    plain = {name: {one.partition(":")[0] for one in below} for name, below in causes.graph(names()).items()}
    assert [*graphlib.TopologicalSorter(plain).static_order()]


def failing(*failed, passed=(), host="a"):
    checks = [Check(host, name, "fail", "seen", "expected", f"fix {name}") for name in failed]
    return checks + [Check(host, name, "pass") for name in passed]


def follows(checks):
    return {check.check: check.follows for check in causes.fold(checks) if check.verdict == "fail"}


def test_a_driver_that_is_not_loaded_explains_all_that_needs_it():
    above = (
        *("driver.loaded_is_installed", "driver.tools_match", "driver.version", "gpu.all_in_use", "gpu.count"),
        *("cdi.driver_version", "cdi.every_gpu", "containers.running.engine", "containers.sees_the_gpus.engine"),
        *("engine.on_the_gpu", "engine.max_active_requests", "config.same_file.engine", "models.loaded"),
        *("api.health", "api.engine_connected", "transcription.file", "transcription.stream", "health.gpu answers"),
    )
    found = follows(failing("driver.loaded", *above, passed=("tls.running", "models.files")))
    assert found == {"driver.loaded": "", **dict.fromkeys(above, "driver.loaded")}
    (state,) = states_of_checks(["a"], causes.fold(failing("driver.loaded", *above))).values()
    assert [problem.fix for problem in state.errors] == ["fix driver.loaded"] and state.state == "failed"


def test_an_engine_that_hangs_explains_its_metrics_its_api_and_transcriptions():
    above = ("engine.max_active_requests", "api.engine_connected", "api.health", "transcription.file", "health.callers")
    found = follows(failing("health.engine answers", *above, passed=("containers.running.engine", "tls.running")))
    assert found == {"health.engine answers": "", **dict.fromkeys(above, "health.engine answers")}


@pytest.mark.parametrize("cause", ["tls.running", "api.engine_connected", "containers.running.engine"])
def test_a_transcription_that_fails_is_no_cause(cause):
    assert follows(failing(cause, "transcription.file")) == {cause: "", "transcription.file": cause}


def test_two_faults_are_two_causes():
    found = follows(failing("tls.expiry", "driver.held", "transcription.file", passed=("tls.running", "tls.trusted")))
    assert found == {"tls.expiry": "", "driver.held": "", "transcription.file": ""}


@pytest.mark.parametrize(
    ("path", "cause"), [("/etc/nginx/tls/deepgram.crt", "health.files"), ("/etc/deepgram/api/api.toml", "")]
)
def test_an_edited_file_explains_what_reads_it(path, cause):
    edited = Check("a", "health.files", "fail", f"{path} was edited by hand, /usr/x: missing")
    assert follows([edited, *failing("tls.expiry", passed=("tls.running",))])["tls.expiry"] == cause


def test_another_server_s_fault_is_none_here():
    checks = [*failing("driver.loaded", host="a"), *failing("gpu.all_in_use", host="b")]
    assert {(check.host, check.follows) for check in causes.fold(checks)} == {("a", ""), ("b", "")}
