"""The patient's service and system: what answers, what the roles wrote, units, NGINX, the kernel and the network."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
from typing import Any

from ansible.module_utils.doctor.host import Answer

from tests.doctor import certificates

Patient = Any  # tests.doctor.patient's, which imports this

STATUS, METRICS = "http://127.0.0.1:8080/v1/status", "http://127.0.0.1:9991/metrics"
IMAGE = "sha256:" + 64 * "1"
ENGINE_TOML, API_TOML = "/etc/deepgram/engine/engine.toml", "/etc/deepgram/api/api.toml"
KEY_FILE, SITE = "/etc/deepgram/deepgram.env", "/etc/nginx/conf.d/deepgram.conf"
CERTIFICATE, TLS_KEY = "/etc/nginx/tls/deepgram.crt", "/etc/nginx/tls/deepgram.key"
MODELS = "/var/lib/deepgram/models"
# As roles/deepgram writes it (to_toml): the limit outside of every table.
ENGINE = """\
max_active_requests = 40

[license]
server_url = [
    "https://license.deepgram.com",
]

[features]
multichannel = true
"""
# Names of Deepgram's metrics guide.
PAGE = """\
# TYPE engine_max_active_requests gauge
engine_max_active_requests {limit}
engine_active_requests{{kind="batch"}} {batch}
engine_active_requests{{kind="stream"}} {stream}
# EOF
"""
STARTED_LOG = """\
2026-11-29T10:00:00.123456Z  INFO impeller::config: Using devices: Gpu(0)
2026-11-29T10:00:09.123456Z  INFO load_model{path=/models/nova-3.en.batch.dg}: impeller::model_suppliers::autoload: \
Inserting model key=AsrKey { name: "nova-3-general", version: "1", languages: List([Language("en")]), mode: Batch }
"""
MAIN = "# configuration file /etc/nginx/nginx.conf:\nevents {\n    worker_connections 512;\n}\n"
UPSTREAM = (
    "upstream deepgram_all {\n    zone deepgram_all 64k;\n    server 127.0.0.1:8080 max_conns=39 max_fails=0;\n}\n"
)
LIMITS = "Limit             Soft Limit     Hard Limit     Units\nMax open files    {}          {}          files\n"
# Documentation/networking/proc_net_route: default by eth0.
ROUTE = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\n"
ANSWERED: dict[tuple[tuple[str, ...], tuple[str, ...]], Answer] = {}  # openssl's, by its words and the files
RECORDED_UNITS = {"deepgram.service": ["active", "enabled"]}


def serve(patient: Patient) -> None:
    patient.pages = {METRICS: {"status": 200, "text": PAGE.format(limit=40, batch=1, stream=3)}}
    patient.answers[f"{STATUS}/engine"] = {"status": 200, "body": {"engine_connection_status": "Connected"}}
    patient.say("start_engine", STARTED_LOG)
    patient.programs.later |= {
        "openssl": functools.partial(openssl, patient),
        "systemctl": functools.partial(units, patient),
    }
    patient.states, patient.served, patient.dns = {}, [], {"192.0.2.53": 0.02}
    _files(patient)
    _models(patient)
    _nginx(patient)
    _system(patient)


def _files(patient: Patient) -> None:
    patient.write(ENGINE_TOML, ENGINE)
    patient.write(API_TOML, 'driver_pool = [{url = "https://engine:8080/v2"}]\n')
    patient.write(KEY_FILE, "DEEPGRAM_API_KEY=x\n")
    (patient.root / KEY_FILE[1:]).chmod(0o600)
    for part, pid, path in (("engine", 4711, ENGINE_TOML), ("api", 4712, API_TOML)):
        patient.write(f"/proc/{pid}/root/config/{part}.toml", (patient.root / path[1:]).read_text())
    patient.records["deepgram"] |= {
        "files": recorded(patient, ENGINE_TOML, API_TOML, KEY_FILE),
        "units": RECORDED_UNITS,
    }


def recorded(patient: Patient, *paths: str) -> dict[str, Any]:
    """What the role records of files."""
    return {path: patient.host().look_at(path) for path in paths}


def _models(patient: Patient) -> None:
    sums, large = {}, {}
    for name in ("nova-3.en.batch.dg", "nova-3.en.streaming.dg"):
        path = f"{MODELS}/{name}"
        patient.write(path, name * 100)
        stat = os.stat(patient.root / path[1:])
        sums[name] = {"sha256": hashlib.sha256((name * 100).encode()).hexdigest(), "size": stat.st_size}
        large[path] = {"type": "file", "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    patient.write(f"{MODELS}/.sha256.json", json.dumps(sums))
    patient.records["deepgram_models"] = {"large_files": large}


def of_nginx(patient: Patient) -> dict[str, Any]:
    """What the role records beside `tls`."""
    own = {"nginx.service": ["active", "enabled"]}
    return {"read_at_reload": {"nginx.service": [SITE, CERTIFICATE, TLS_KEY]}, "units": own, "until": 1}


def _nginx(patient: Patient) -> None:
    patient.reloaded = patient.host().started - 3600
    certificate(patient, *certificates.made())
    patient.write(SITE, UPSTREAM)
    patient.write("/proc/900/task/900/children", "901 902 ")
    for pid, used in ((901, 12), (902, 9)):
        patient.write(f"/proc/{pid}/limits", LIMITS.format(16384, 16384))
        for number in range(used):
            patient.write(f"/proc/{pid}/fd/{number}")


def certificate(patient: Patient, text: str, key: str) -> None:
    patient.write(CERTIFICATE, text)
    patient.write(TLS_KEY, key)


def _system(patient: Patient) -> None:
    patient.write("/proc/sys/fs/file-nr", "4096\t0\t9223372036854775807\n")
    patient.write("/proc/sys/net/netfilter/nf_conntrack_count", "310\n")
    patient.write("/proc/sys/net/netfilter/nf_conntrack_max", "262144\n")
    patient.write(
        "/proc/driver/nvidia/params", "ModifyDeviceFiles: 1\nDeviceFileUID: 0\nDeviceFileGID: 0\nDeviceFileMode: 438\n"
    )
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        patient.write(f"/dev/{name}")
        (patient.root / "dev" / name).chmod(0o666)
    patient.write("/etc/resolv.conf", "search example.net\nnameserver 192.0.2.53\n")
    patient.write("/proc/net/route", ROUTE)
    for name in ("eth0", "docker0"):
        patient.write(f"/sys/class/net/{name}/mtu", "1500\n")


def units(patient: Patient, *argv: str) -> Answer:
    """`systemctl show` of these units: all as the roles left them, but what `states` says."""
    blocks = []
    for name in argv[argv.index("--") + 1 :]:
        there = name not in ("ufw.service", "firewalld.service")
        usual = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "MainPID": "900"}
        missing = {"LoadState": "not-found", "ActiveState": "inactive", "UnitFileState": "", "MainPID": "0"}
        found = (usual if there else missing) | patient.states.get(name, {})
        blocks.append("".join(f"{key}={value}\n" for key, value in found.items()))
    return Answer("\n".join(blocks), 0, "")


def openssl(patient: Patient, *argv: str) -> Answer:
    """The real one, asked once for the same files."""
    root = str(patient.root)
    held = tuple(
        (patient.root / path[1:]).read_text() for path in (CERTIFICATE, TLS_KEY) if (patient.root / path[1:]).exists()
    )
    asked = (tuple(word.replace(root, "") for word in argv), held)
    if asked not in ANSWERED:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
        ANSWERED[asked] = Answer(done.stdout + done.stderr, done.returncode, "")
    return ANSWERED[asked]
