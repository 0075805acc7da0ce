"""Engine, API, licence, configuration and models."""

import hashlib
import json
import os
import time

from tests import log_forms
from tests.doctor import service_patient
from tests.doctor.faults.table import fault
from tests.doctor.service_patient import API_TOML, ENGINE, ENGINE_TOML, METRICS, MODELS, PAGE, STATUS

LATE = {"why": "does not answer: timed out"}
# developers.deepgram.com/docs/license-proxy: the body of its status.
TRUST = {
    "state": "TrustBased",
    "last_successful_checkin": "2026-11-29T10:00:00Z",
    "trust_expiration": "2026-12-03T10:00:00Z",
}
REFUSED = "Aegis request to https://license.deepgram.com failed: status=401 Unauthorized"


@fault({"engine answers": "docker restart -t 5 deepgram-engine"})
def engine_hangs(patient):
    patient.pages[METRICS] = LATE


@fault({"engine answers": "docker restart -t 5 deepgram-engine", "api engine": "docker logs"})
def engine_hangs_soon_after_its_start(patient):
    """It said that it listens: it loads no more."""
    for part, pid in (("engine", 4711), ("api", 4712)):
        patient.container(part, pid, StartedAt=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 90)))
    patient.say(
        "start_engine", service_patient.STARTED_LOG + log_forms.reported("full", "Listening on http://0.0.0.0:8080")
    )
    patient.pages[METRICS] = LATE
    patient.answers[f"{STATUS}/engine"] = {"status": 200, "body": {"engine_connection_status": "Disconnected"}}


@fault({"containers": "docker unpause deepgram-engine"})
def engine_paused(patient):
    patient.container("engine", 4711, "running", Paused=True, Status="paused")
    patient.pages[METRICS] = LATE
    patient.say(
        "inside engine", "Error response from daemon: Container x is paused, unpause the container before exec\n", 1
    )


@fault({"engine answers": "podman kill --signal=KILL deepgram-engine"})
def engine_hangs_podman(patient):
    patient.podman()
    patient.pages[METRICS] = LATE


@fault({"engine answers": "docker logs --tail 50 deepgram-engine"})
def engine_does_not_listen(patient):
    patient.pages[METRICS] = {"why": "does not answer: [Errno 111] Connection refused"}


@fault({"engine device": "force-recreate engine"})
def engine_on_the_cpu(patient):
    """roles/deepgram sets gpu_required, which an operator may switch off."""
    patient.say("start_engine", log_forms.reported("json", "Using devices: CPU", "INFO", "impeller::config"))


@fault({"images": "--force-recreate engine"})
def engine_from_an_old_image(patient):
    patient.engine.api["/containers/deepgram-engine/json"]["Image"] = "sha256:" + 64 * "2"


@fault({"images": "systemctl restart deepgram-api.service"})
def api_from_an_old_image_podman(patient):
    patient.records["deepgram"]["containers"]["names"]["deepgram-api"]["image_id"] = "sha256:" + 64 * "2"
    patient.podman()


def page(patient, **values):
    patient.pages[METRICS] = {"status": 200, "text": PAGE.format(**{"limit": 40, "batch": 1, "stream": 3, **values})}


@fault({"engine load": "docker restart deepgram-engine"})
def engine_over_its_limit(patient):
    page(patient, stream=41)


@fault({"files": "dgctl provision", "engine limit": "dgctl provision"})
def limit_under_another_table(patient):
    """TOML takes a key that follows a table's head as that table's."""
    moved = ENGINE.replace("max_active_requests = 40\n\n", "").replace(
        "[features]\n", "[features]\nmax_active_requests = 40\n"
    )
    patient.write(ENGINE_TOML, moved)
    patient.write("/proc/4711/root/config/engine.toml", moved)
    page(patient, limit=0)


@fault({"engine limit": "--force-recreate engine"})
def limit_not_read_yet(patient):
    page(patient, limit=20)


@fault({"configuration": "--force-recreate api"})
def api_on_the_default_configuration(patient):
    """dg_log_parser.sh of deepgram/self-hosted-resources."""
    words = "Configuration file not found at /config/api.toml. Falling back to default/bundled configuration"
    patient.say("start_api", log_forms.reported("full", words, "WARN", "stem::config"))


@fault({"configuration": "--force-recreate api"})
def api_with_a_stale_mount(patient):
    patient.write("/proc/4712/root/config/api.toml", "[server]\n")


@fault({"configuration": "--force-recreate engine"})
def engine_older_than_its_file(patient):
    os.utime(patient.root / ENGINE_TOML[1:])


@fault({"files": "dgctl provision", "configuration": "--force-recreate api"})
def configuration_edited_and_not_read(patient):
    patient.write(API_TOML, "[server]\n")


@fault({"files": "dgctl provision", "api engine": "grep url /etc/deepgram/api/api.toml"})
def api_asks_another_engine(patient):
    edited = 'driver_pool = [{url = "https://engine-2:8080/v2"}]\n'
    patient.write(API_TOML, edited)
    patient.write("/proc/4712/root/config/api.toml", edited)
    os.utime(patient.root / API_TOML[1:], (0, 0))
    api_without_an_engine(patient)


@fault({"api engine": "docker logs --tail 50 deepgram-engine"})
def api_without_an_engine(patient):
    patient.answers[f"{STATUS}/engine"] = {"status": 200, "body": {"engine_connection_status": "Disconnected"}}


@fault({"licence": "deepgram_api_key"})
def licence_refused(patient):
    patient.say("recent_engine", log_forms.reported("compact", REFUSED, "ERROR", "hermes::license"))


@fault({"licence": "port 443", "api health": "deepgram-engine"})
def licence_server_unreachable(patient):
    words = "Aegis request to https://license.deepgram.com failed: TimedOut"
    patient.say("recent_engine", log_forms.reported("pretty", words, "ERROR", "hermes::license"))
    patient.api("Critical", active=2)


def license_proxy(patient, reported):
    url = "http://127.0.0.1:8089/v1/status"
    names = {"deepgram-license-proxy": {"image_id": service_patient.IMAGE}}
    patient.records["license_proxy"] = {"containers": {"engine": "docker", "names": names}, "answers": [url]}
    patient.container("license-proxy", 4713)
    patient.answers[url] = {"status": 200, "body": reported}


@fault({"license proxy": "docker logs --tail 50 deepgram-license-proxy"})
def license_proxy_lives_on_trust(patient):
    license_proxy(patient, TRUST)


@fault({"license proxy": "port 443"})
def license_proxy_past_its_trust(patient):
    license_proxy(patient, {"state": "Failed"})


@fault({"models": "dgctl provision"})
def model_truncated(patient):
    patient.write(f"{MODELS}/nova-3.en.batch.dg", "nova")


@fault({"models": "dgctl provision"})
def model_missing(patient):
    patient.remove(f"{MODELS}/nova-3.en.batch.dg")


@fault({"models loaded": f"rm {MODELS}/nova-3.en.streaming.dg, then dgctl provision"})
def model_refused(patient):
    """The form of Deepgram's Flux page: the path stands in the span before the message."""
    line = (
        "2026-11-29T10:00:08.1Z  WARN load_model{path=/models/nova-3.en.streaming.dg}: "
        "impeller::model_suppliers::autoload: Failed to load model err=unexpected end of file\n"
    )
    patient.say("start_engine", service_patient.STARTED_LOG + line)


def flip_one_bit(patient, name="nova-3.en.batch.dg"):
    """Of a model, as a worn disk does: size and time stay. The checksum alone tells, with --deep."""
    place = patient.root / MODELS[1:] / name
    data, times = bytearray(place.read_bytes()), place.stat()
    data[7] ^= 1
    place.write_bytes(data)
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    sums = json.loads((patient.root / MODELS[1:] / ".sha256.json").read_text())
    assert sums[name]["sha256"] != hashlib.sha256(data).hexdigest()
