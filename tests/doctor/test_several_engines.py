"""The doctor on a server with several Engines and APIs: each by its name, and a fix for the one that needs it."""

import pytest
from ansible.module_utils.doctor import doctor

from tests import log_forms
from tests.doctor import service_patient
from tests.doctor.faults.service import LATE

CHECKS = ("engine answers", "engine limit", "engine load", "engine device", "api engine", "api health")
METRICS = {"engine-a": "http://127.0.0.1:9991/metrics", "engine-b": "http://127.0.0.1:9992/metrics"}
STATUS = {"api-stt": "https://127.0.0.1:8080/v1/status", "api-flux": "https://127.0.0.1:8081/v1/status"}
CONNECTED = {"status": 200, "body": {"engine_connection_status": "Connected"}}


@pytest.fixture
def rack(patient):
    """A patient with two Engines and two APIs, in good health."""
    parts = [*METRICS, *STATUS]
    names = {f"deepgram-{part}": {"image_id": service_patient.IMAGE} for part in parts}
    patient.records["deepgram"]["containers"]["names"] = names
    patient.records["deepgram"]["answers"] = [*METRICS.values(), *STATUS.values()]
    for number, part in enumerate(parts):
        patient.container(part, 5000 + number)
    for part, url in METRICS.items():
        patient.pages[url] = {"status": 200, "text": service_patient.PAGE.format(limit=40, batch=1, stream=3)}
        patient.write(f"/etc/deepgram/{part}/engine.toml", service_patient.ENGINE)
        patient.say(f"start_{part}", service_patient.STARTED_LOG)
    for url in STATUS.values():
        patient.answers[url] = {"status": 200, "body": {"system_health": "Healthy", "active_batch_requests": 0}}
        patient.answers[f"{url}/engine"] = CONNECTED
    return patient


def found(rack):
    return {one["check"]: one for one in doctor.examine(rack.host()) if one["check"] in CHECKS}


def test_each_is_told_by_its_name(rack):
    said = found(rack)
    assert {name: one["verdict"] for name, one in said.items()} == dict.fromkeys(CHECKS, "pass")
    assert said["engine limit"]["seen"] == "engine-a: 40; engine-b: 40"
    assert said["api health"]["seen"] == "api-stt: Healthy; api-flux: Healthy"


def hangs(rack):
    rack.pages[METRICS["engine-b"]] = LATE


def is_over_its_limit(rack):
    rack.pages[METRICS["engine-b"]] = {
        "status": 200,
        "text": service_patient.PAGE.format(limit=40, batch=1, stream=40),
    }


def has_another_limit(rack):
    rack.write("/etc/deepgram/engine-b/engine.toml", service_patient.ENGINE.replace("40", "30"))


def computes_on_the_cpu(rack):
    rack.say("start_engine-b", log_forms.said("json", "Using devices: CPU", "INFO", "impeller::config"))


def has_no_engine(rack):
    rack.answers[f"{STATUS['api-flux']}/engine"] = {"status": 200, "body": {"engine_connection_status": "Disconnected"}}


def blames_itself(rack):
    rack.answers[STATUS["api-flux"]] = {
        "status": 200,
        "body": {"system_health": "Critical", "active_batch_requests": 0},
    }


BROKEN = [
    (hangs, "engine answers", "engine-b: it takes connections", "deepgram-engine-b"),
    (is_over_its_limit, "engine load", "engine-b: 41 requests, and its limit is 40", "deepgram-engine"),
    (has_another_limit, "engine limit", "engine-b: 40 in the running Engine, 30 in", "--force-recreate engine-b"),
    (computes_on_the_cpu, "engine device", "engine-b: ", "force-recreate engine"),
    (has_no_engine, "api engine", "api-flux: Disconnected", "/etc/deepgram/api-flux/api.toml"),
    (blames_itself, "api health", "api-flux: Critical", "deepgram-"),
]


@pytest.mark.parametrize(("break_it", "check", "seen", "fix"), BROKEN)
def test_the_unhealthy_one_is_named_with_its_fix(rack, break_it, check, seen, fix):
    break_it(rack)
    said = found(rack)[check]
    assert said["verdict"] == "fail" and said["seen"].startswith(seen) and fix in said["fix"], said
    assert "engine-a" not in said["seen"] and "api-stt" not in said["seen"]


def test_one_that_cannot_be_asked_stands_beside_the_others(rack):
    rack.container("engine-b", 0, "exited")
    said = found(rack)["engine answers"]
    assert said["verdict"] == "pass" and "engine-b: deepgram-engine-b does not run" in said["seen"]
