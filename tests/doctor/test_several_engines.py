"""The doctor on a server with several Engines and APIs: each by its name, and a fix for the one that needs it."""

import json
import re

import pytest
from ansible.module_utils.doctor import doctor, engine
from ansible.module_utils.doctor import host as doctor_host

from tests import log_forms
from tests.doctor import service_patient
from tests.doctor.faults.service import LATE, REFUSED
from tests.doctor.faults.toolkit import cdi_without_libcuda

CHECKS = (
    *("containers", "engine on gpu", "gpu in containers", "libcuda in containers", "models loaded", "configuration"),
    *(
        "engine answers",
        "engine limit",
        "engine load",
        "engine device",
        "images",
        "licence",
        "api engine",
        "api health",
    ),
    *("proxy cap", "files"),
)
METRICS = {"engine-a": "http://127.0.0.1:9991/metrics", "engine-b": "http://127.0.0.1:9992/metrics"}
PIDS = {"engine-a": 5000, "engine-b": 5001, "api-stt": 5002, "api-flux": 5003}
ASKS = {"api-stt": "engine-a", "api-flux": "engine-b"}
STATUS = {"api-stt": "https://127.0.0.1:8080/v1/status", "api-flux": "https://127.0.0.1:8081/v1/status"}
CONNECTED = {"status": 200, "body": {"engine_connection_status": "Connected"}}


@pytest.fixture
def rack(patient):
    """A patient with two Engines and two APIs, in good health."""
    parts = [*METRICS, *STATUS]
    names = {f"deepgram-{part}": {"image_id": service_patient.IMAGE} for part in parts}
    patient.records["deepgram"]["containers"]["names"] = names
    patient.records["deepgram"]["answers"] = [*METRICS.values(), *STATUS.values()]
    for path in (service_patient.ENGINE_TOML, service_patient.API_TOML):
        patient.remove(path)
    for part in ("engine", "api"):
        del patient.engine.api[f"/containers/deepgram-{part}/json"]
    for part, pid in PIDS.items():
        patient.container(part, pid)
    for part, url in METRICS.items():
        patient.pages[url] = {"status": 200, "text": service_patient.PAGE.format(limit=40, batch=1, stream=3)}
        configure(patient, part, "engine.toml", service_patient.ENGINE)
        patient.say(f"start_{part}", service_patient.STARTED_LOG)
        patient.say(f"inside {part}", "GPU 0: Tesla T4 (UUID: GPU-00000000-1111-2222-3333-444444444444)\n")
        patient.write(f"/proc/{PIDS[part]}/root/dev/nvidia0")
        patient.write(f"/proc/{PIDS[part]}/root/usr/lib/x86_64-linux-gnu/libcuda.so.1")
    for part, asked in ASKS.items():
        configure(patient, part, "api.toml", f'[[driver_pool.standard]]\nurl = "https://{asked}:8080/v2"\n')
    written = [f"/etc/deepgram/{part}/engine.toml" for part in METRICS]
    patient.records["deepgram"]["files"] = service_patient.recorded(patient, *written)
    for url in STATUS.values():
        patient.answers[url] = {"status": 200, "body": {"system_health": "Healthy", "active_batch_requests": 0}}
        patient.answers[f"{url}/engine"] = CONNECTED
    return patient


def configure(patient, part, name, text):
    """A component's file, on the server and as its container sees it."""
    patient.write(f"/etc/deepgram/{part}/{name}", text)
    patient.write(f"/proc/{PIDS[part]}/root/config/{name}", text)


def found(rack):
    return {one["check"]: one for one in doctor.examine(rack.host()) if one["check"] in CHECKS}


def test_each_is_told_by_its_name(rack):
    reported = found(rack)
    assert {name: one["verdict"] for name, one in reported.items()} == dict.fromkeys(CHECKS, "pass")
    assert reported["engine limit"]["seen"] == "engine-a: 40; engine-b: 40"
    assert reported["api health"]["seen"] == "api-stt: Healthy; api-flux: Healthy"


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
    rack.say("start_engine-b", log_forms.reported("json", "Using devices: CPU", "INFO", "impeller::config"))


def has_no_engine(rack):
    rack.answers[f"{STATUS['api-flux']}/engine"] = {"status": 200, "body": {"engine_connection_status": "Disconnected"}}


def blames_itself(rack):
    rack.answers[STATUS["api-flux"]] = {
        "status": 200,
        "body": {"system_health": "Critical", "active_batch_requests": 0},
    }


def has_lost_its_gpu(rack):
    rack.say("inside engine-b", "Failed to initialize NVML: Unknown Error\n", 255)


def has_no_gpu(rack):
    rack.remove("/proc/5001/root/dev/nvidia0")


def has_no_libcuda(rack):
    rack.remove("/proc/5001/root/usr/lib/x86_64-linux-gnu/libcuda.so.1")


def ends_without_libcuda(rack):
    cdi_without_libcuda(rack)
    rack.container("engine-b", 0, "restarting", Restarting=True, ExitCode=1)


def has_ended(rack):
    rack.container("engine-b", 0, "exited", ExitCode=137)


def refused_a_model(rack):
    line = (
        "2026-11-29T10:00:08.1Z  WARN load_model{path=/models/nova-3.en.streaming.dg}: "
        "impeller::model_suppliers::autoload: Failed to load model err=something odd\n"
    )
    rack.say("start_engine-b", service_patient.STARTED_LOG + line)


def reads_another_file(rack):
    rack.write("/proc/5001/root/config/engine.toml", "")


def runs_another_image(rack):
    rack.engine.api["/containers/deepgram-engine-b/json"]["Image"] = "sha256:" + 64 * "2"


def has_its_key_refused(rack):
    """Engine a only lost its licence server for a moment, and serves."""
    lost = "Aegis request to https://license.deepgram.com failed: TimedOut"
    rack.say("recent_engine-a", log_forms.reported("pretty", lost, "ERROR", "hermes::license"))
    rack.say("recent_engine-b", log_forms.reported("compact", REFUSED, "ERROR", "hermes::license"))


def lost_its_licence_server(rack):
    """The other API serves, which says nothing of this one's Engine."""
    lost = "Aegis request to https://license.deepgram.com failed: TimedOut"
    rack.say("recent_engine-b", log_forms.reported("pretty", lost, "ERROR", "hermes::license"))
    rack.answers[STATUS["api-flux"]] = {"status": 200, "body": {"system_health": "Critical"}}


def has_its_limit_in_a_table(rack):
    text = service_patient.ENGINE.replace("max_active_requests = 40\n", "") + "max_active_requests = 40\n"
    configure(rack, "engine-b", "engine.toml", text)


BROKEN = [
    (has_lost_its_gpu, "gpu in containers", "engine-b: nvidia-smi in deepgram-engine-b", "--force-recreate engine-b"),
    (has_no_gpu, "engine on gpu", "engine-b: no GPU device", "--force-recreate engine-b"),
    (
        has_no_libcuda,
        "libcuda in containers",
        "engine-b: no libcuda.so.1 in deepgram-engine-b",
        "--force-recreate engine-b",
    ),
    (ends_without_libcuda, "libcuda in containers", "engine-b: no CDI file", "--force-recreate engine-b"),
    (has_ended, "containers", "deepgram-engine-b exited", "docker logs --tail 50 deepgram-engine-b"),
    (refused_a_model, "models loaded", "engine-b: refused: nova-3.en.streaming.dg", "replace that file"),
    (reads_another_file, "configuration", "deepgram-engine-b sees another file", "--force-recreate engine-b"),
    (runs_another_image, "images", "deepgram-engine-b: another image", "--force-recreate engine-b"),
    (has_its_key_refused, "licence", "deepgram-engine-b: key refused", "deepgram_api_key"),
    (lost_its_licence_server, "licence", "deepgram-engine-b: licence server unreachable", "port 443"),
    (
        has_its_limit_in_a_table,
        "engine limit",
        "engine-b: max_active_requests stands under [features]",
        "dgctl provision",
    ),
    (
        has_its_limit_in_a_table,
        "files",
        "/etc/deepgram/engine-b/engine.toml was edited by hand: max_active",
        "dgctl provision",
    ),
    (hangs, "engine answers", "engine-b: it takes connections", "deepgram-engine-b"),
    (
        is_over_its_limit,
        "engine load",
        "engine-b: 41 requests, and its limit is 40",
        "docker restart deepgram-engine-b",
    ),
    (has_another_limit, "engine limit", "engine-b: 40 in the running Engine, 30 in", "--force-recreate engine-b"),
    (computes_on_the_cpu, "engine device", "engine-b: ", "--force-recreate engine-b"),
    (has_no_engine, "api engine", "api-flux: Disconnected", "docker logs --tail 50 deepgram-engine-b"),
    (has_no_engine, "api engine", "api-flux: Disconnected", "/etc/deepgram/api-flux/api.toml"),
    (blames_itself, "api health", "api-flux: Critical", "docker logs --tail 50 deepgram-engine-b"),
]


@pytest.mark.parametrize(("break_it", "check", "seen", "fix"), BROKEN)
def test_the_unhealthy_one_is_named_with_its_fix(rack, break_it, check, seen, fix):
    break_it(rack)
    reported = found(rack)[check]
    assert reported["verdict"] == "fail" and reported["seen"].startswith(seen) and fix in reported["fix"], reported
    assert not {"engine-a", "api-stt"} & set(re.findall(r"(?:engine|api)-\w+", f"{reported['seen']} {reported['fix']}"))


def test_one_that_cannot_be_asked_stands_beside_the_others(rack):
    rack.container("engine-b", 0, "exited")
    reported = found(rack)["engine answers"]
    assert reported["verdict"] == "pass" and "engine-b: deepgram-engine-b does not run" in reported["seen"]


def test_of_two_each_has_its_own_fix(rack):
    for part in METRICS:
        rack.say(f"inside {part}", "Failed to initialize NVML: Unknown Error\n", 255)
    reported = found(rack)["gpu in containers"]
    assert (
        "engine-a: nvidia-smi in deepgram-engine-a" in reported["seen"] and "engine-b: nvidia-smi" in reported["seen"]
    )
    assert "--force-recreate engine-a" in reported["fix"] and "--force-recreate engine-b" in reported["fix"]
    assert reported["cause"].count("daemon-reload") == 1, "the same cause is said once"


def test_a_cap_is_missed_where_the_engines_of_this_server_have_limits(rack):
    rack.say("nginx", service_patient.MAIN + service_patient.UPSTREAM.replace(" max_conns=39", ""))
    assert found(rack)["proxy cap"]["seen"].startswith("no max_conns for 127.0.0.1:8080")
    configure(rack, "engine-b", "engine.toml", service_patient.ENGINE.replace("max_active_requests = 40\n", ""))
    assert found(rack)["proxy cap"]["seen"] == "as the Engines' limits have it", (
        "one without a limit leaves all without a cap"
    )


@pytest.mark.parametrize("kind", engine.ENGINES.values(), ids=engine.ENGINES)
def test_nvidia_smi_is_asked_in_each_engine(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(engine.host_record, "FOLDER", str(tmp_path))
    names = {f"deepgram-{part}": {} for part in PIDS}
    (tmp_path / "deepgram.json").write_text(json.dumps({"things": {"containers": {"names": names}}}))
    asked = {name: argv for name, argv in kind.commands(True).items() if name.startswith("inside")}
    words = {f"inside {part}": (kind.cli, "exec", f"deepgram-{part}", "nvidia-smi", "-L") for part in METRICS}
    assert asked == words
    assert {doctor_host.limit_of(name) for name in asked} == {doctor_host.SLOW["inside"]}
    assert not any(name.startswith("inside") for name in kind.commands(False))


def test_of_several_that_do_not_run_each_is_named_with_its_cause_and_its_log(rack):
    rack.container("engine-a", 0, "exited", ExitCode=137, Error="OOM killed")
    rack.container("engine-b", 0, "exited", ExitCode=1)
    line = "impeller::licensing: Provided license key is not valid: 401 Unauthorized"
    rack.say("log_engine-b", f"2026-11-29T10:00:08.1Z ERROR {line}\n")
    reported = found(rack)["containers"]
    assert (
        "deepgram-engine-a exited (exit 137)" in reported["seen"]
        and "deepgram-engine-b exited (exit 1)" in reported["seen"]
    )
    assert "engine-a: OOM killed" in reported["cause"] and "engine-b: " in reported["cause"]
    assert (
        "docker logs --tail 50 deepgram-engine-a" in reported["fix"]
        and "docker logs --tail 50 deepgram-engine-b" in reported["fix"]
    )
    assert "deepgram_api_key" in reported["fix"]
