"""A healthy server as the suite's fixtures give it, and worlds in which one thing is otherwise."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dgctl.verify import fabric, gpus
from dgctl.verify.ask import Answer
from dgctl.verify.checks import test_toolkit
from dgctl.verify.containers import Container, Runtime
from dgctl.verify.facts import Service

A, B = "GPU-aaaaaaaa-0000-0000-0000-000000000000", "GPU-bbbbbbbb-0000-0000-0000-000000000000"
VERSION = "580.173.02"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
STARTED = datetime.now(UTC) - timedelta(minutes=30)
BATCH, STREAM, HELPER = "nova-3-general.en.batch.1.dg", "nova-3-general.en.streaming.2.dg", "diarizer.en.batch.3.dg"
NOTHING = Answer(1, "", "no such thing")


def reported(**texts: str | Answer) -> dict[str, Answer]:
    return {name: text if isinstance(text, Answer) else Answer(0, text) for name, text in texts.items()}


def smi(*rows: str) -> str:
    return "\n".join(rows)


def listed(*uuids: str) -> str:
    return "\n".join(f"GPU {number}: Tesla T4 (UUID: {uuid})" for number, uuid in enumerate(uuids))


def inserted(name: str, mode: str) -> str:
    """As Deepgram's Flux page shows it: tests/samples/deepgram."""
    key = f'AsrKey {{ name: "{name}", version: "1", languages: List([Language("en")]), mode: {mode} }}'
    return f"INFO load_model: impeller::model_suppliers::autoload: Inserting model key={key}"


FABRIC = f"""switch 10de:22a3
switch 10de:22a3
unit active
manager Fabric Manager version is : {VERSION}
gpu 00000000:3B:00.0, Completed, Success
gpu 00000000:4B:00.0, Completed, Success"""
ROWS = (f"{A}, Tesla T4, 00000000:3B:00.0, 15360, [N/A]", f"{B}, Tesla T4, 00000000:4B:00.0, 15360, [N/A]")
CDI = f"""
devices:
    - name: "0"
    - name: {A}
    - name: "1"
    - name: all
mounts:
    - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.{VERSION}
"""
PARTS = ("engine", "api", "license-proxy", "billing")
CONTAINER = Container(
    running=True,
    restarting=False,
    status="running",
    started=STARTED,
    restarts=0,
    policy="always",
    digests={DIGEST},
    log={"Type": "json-file", "Config": {"max-size": "100m"}},
    release="release-260812",
)
PAGE = '{"stt":[{"name":"nova-3-general","languages":["en"],"batch":true,"streaming":true}]}'
LOG = ["INFO impeller::config: Using devices: Gpu(0), Gpu(1)", inserted("diarizer", "Batch")]


def healthy() -> dict[str, Any]:
    """What the fixtures of a good server give."""
    driver = reported(
        loaded=VERSION,
        installed=VERSION,
        smi=smi(VERSION, VERSION),
        gpus=smi(*ROWS),
        persistence="Enabled\nEnabled",
        listed=listed(A, B),
        pci="0000:3b:00.0 0x10de 0x030200\n0000:4b:00.0 0x10de 0x030200",
        nouveau="",
        fabric=FABRIC,
    )
    desired = {
        "images_locked": {},
        "models_locked": {},
        "preflight_gpu_count": None,
        "preflight_gpu_names": [],
        "preflight_min_gpu_count": 1,
        "preflight_min_gpu_memory_mb": 15000,
        "nvidia_driver_branch": "580",
        "nvidia_driver_version": "",
        "nvidia_driver_hold": True,
        "nvidia_driver_persistence": True,
        "nvidia_container_toolkit_version": "1.20.1-1",
        "deepgram_release": "release-260812",
        "deepgram_air_gap": False,
        "deepgram_image_digests": {},
        "deepgram_engine_max_active_requests": 20,
        "half_precision": None,
        "deepgram_models_dir": "/models",
        "billing_journal_dir": "/journal",
        "deepgram_api_port": 8080,
        "deepgram_api_bind_address": "127.0.0.1",
        "deepgram_metrics_port": 9991,
        "deepgram_metrics_bind_address": "127.0.0.1",
        "host_firewall_rules": None,
        "nginx_proxy_nodes": [{"name": "gpu1"}, {"name": "gpu2"}],
        "models": [{"file": file, "sha256": None} for file in (BATCH, STREAM, HELPER)],
    }
    files = {"modes": "600 root /etc/deepgram/deepgram.env", "carriers": ""}
    for name in PARTS:
        files |= {f"{name}_outside": "ab12", f"{name}_inside": "ab12"}
        files |= {f"{name}_written": str(int(STARTED.timestamp()) - 60)}
    record = ", ".join(f'"{file}": {{"sha256": "ab", "size": 5}}' for file in (BATCH, STREAM, HELPER))
    images = ", ".join(f'"deepgram-{name}": {{"digest": "{DIGEST}"}}' for name in PARTS)
    images = f'{{"containers": {{{images}}}}}'
    end = datetime.now(UTC) + timedelta(days=400)
    return {
        "first_word": {"said": "root, Debian"},
        "planned": {
            "route": {"by_hand": "ssh ops@gpu1", "login": ["ssh", "192.0.2.1"]},
            "address": "192.0.2.1",
            "groups": ["api", "engine", "billing", "license_proxy", "node", "proxy", "tls"],
        },
        "parts": list(PARTS),
        "desired": desired | {"api_tls": None},
        "runtime": Runtime("docker"),
        "driver": driver,
        "seen": gpus.smi(driver["gpus"].lines),
        "seen_gpus": 2,
        "board": fabric.read(FABRIC.splitlines()),
        "engine_gpus": [A, B],
        "packages": reported(
            installed="nvidia-open\nnvidia-kernel-open-dkms\nlibnvidia-ml1", held="nvidia-open\nnvidia-kernel-open-dkms"
        ),
        "toolkit": Answer(0, "\n".join(f"{package} 1.20.1-1" for package in test_toolkit.PACKAGES)),
        "cdi": reported(file=CDI, second="", refresh="enabled"),
        "containers_seen": dict.fromkeys(PARTS, CONTAINER),
        "on_host": reported(gpus=listed(A, B), boot="enabled")
        | {f"images_{name}": Answer(0, images) for name in PARTS},
        "files": reported(**files),
        "service": Service(
            reported(
                status='{"system_health":"Ready"}',
                engine='{"engine_connection_status":"Connected"}',
                models=PAGE,
                certificates=f'{{"end_of_life":"{end:%Y-%m-%d} 3:00:00.0 +00:00:00"}}',
                metrics="engine_max_active_requests 20\n",
                devices="",
            ),
            {"api": [], "engine": LOG, "license-proxy": [], "billing": []},
        ),
        "license_proxy": reported(
            status='{"state":"Connected"}', certificates=f'{{"end_of_life":"{end:%Y-%m-%d} 3:00:00.0 +00:00:00"}}'
        ),
        "billing": reported(
            journal="journal 120", certificates=f'{{"end_of_life":"{end:%Y-%m-%d} 3:00:00.0 +00:00:00"}}'
        ),
        "upstreams": reported(
            unit="active", state='{"members": {"gpu1": {"state": "up"}, "gpu2": {"state": "drained"}}}'
        ),
        "disk": reported(records=f"{{{record}}}"),
        "sizes": dict.fromkeys((BATCH, STREAM, HELPER), 5),
        "address": "127.0.0.1",
        "behind_jump": False,
        "host": None,
    }


def engine(**changes: Any) -> dict[str, Any]:
    """The world in which only the Engine's container is otherwise."""
    return {"containers_seen": dict.fromkeys(PARTS, CONTAINER) | {"engine": Container(**(vars(CONTAINER) | changes))}}


def serving(log: list[str] = LOG, **changes: str | Answer) -> dict[str, Any]:
    good = healthy()["service"]
    return {"service": Service(good.answers | reported(**changes), dict.fromkeys(PARTS, log))}


def part(name: str, **changes: str | Answer) -> dict[str, Any]:
    return {name: healthy()[name] | reported(**changes)}


def want(**changes: Any) -> dict[str, Any]:
    return {"desired": healthy()["desired"] | changes}


def days(number: int) -> str:
    return f'{{"end_of_life":"{datetime.now(UTC) + timedelta(days=number):%Y-%m-%d} 3:00:00.0 +00:00:00"}}'
