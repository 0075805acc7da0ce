"""Every check on a healthy server's answers passes, and each fault makes the check that is named for it fail."""

import inspect
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dgctl.verify import fabric, gpus
from dgctl.verify.ask import Answer
from dgctl.verify.checks import (
    test_api,
    test_billing,
    test_cdi,
    test_config,
    test_containers,
    test_driver,
    test_engine,
    test_fabric,
    test_gpu,
    test_license_proxy,
    test_models,
    test_ports,
    test_reachable,
    test_toolkit,
    test_upstreams,
)
from dgctl.verify.containers import ABSENT
from dgctl.verify.expect import Expect, Unmet
from tests.verify.world import (
    BATCH,
    CDI,
    FABRIC,
    HELPER,
    LOG,
    NOTHING,
    OTHER,
    PAGE,
    ROWS,
    STARTED,
    STREAM,
    VERSION,
    A,
    days,
    engine,
    healthy,
    inserted,
    listed,
    part,
    serving,
    want,
)

MODULES = (
    *(test_api, test_cdi, test_config, test_containers, test_driver, test_engine),
    *(
        test_fabric,
        test_gpu,
        test_billing,
        test_license_proxy,
        test_models,
        test_ports,
        test_reachable,
        test_toolkit,
        test_upstreams,
    ),
)


def verdict(check: Callable[..., None], world: dict[str, Any], **parameters: str) -> str:
    """pass, fail or skip, as the suite would give."""
    expect = Expect(lambda name, value: None)
    known = world | parameters | {"expect": expect}
    try:
        check(**{name: known[name] for name in inspect.signature(check).parameters})
    except Unmet as unmet:
        assert unmet.reported["fix"], "a failed check says what to do"
        return "fail"
    except pytest.skip.Exception:
        return "skip"
    assert expect.called
    return "pass"


def cases(check: Callable[..., None]) -> list[dict[str, str]]:
    """The parameters with which the suite calls a check."""
    marks = [mark for mark in getattr(check, "pytestmark", []) if mark.name == "parametrize"]
    return [{mark.args[0]: value} for mark in marks for value in mark.args[1]] or [{}]


CHECKS = [
    (check, case)
    for module in MODULES
    for name, check in vars(module).items()
    if name.startswith("test_") and inspect.isfunction(check)
    for case in cases(check)
]


@pytest.mark.parametrize(("check", "case"), CHECKS, ids=lambda it: getattr(it, "__name__", None))
def test_healthy_server_passes(check, case):
    world = healthy()
    if check is test_ports.test_closed:
        # Nothing listens on port 1, and the address is not the host's own.
        world["desired"] |= {"deepgram_api_port": 1, "deepgram_metrics_port": 1}
        world["address"] = "127.0.0.2"
    assert verdict(check, world, **case) == (
        "skip" if check in (test_config.test_fips, test_api.test_certificate) else "pass"
    )


def board(**changes: Any) -> dict[str, Any]:
    return {"board": fabric.Fabric(**(vars(healthy()["board"]) | changes))}


def fabric_of(last: str) -> tuple[tuple[str, str, str], ...]:
    """The states of the GPUs when nvidia-smi says this of the last one."""
    return fabric.read([*FABRIC.splitlines()[:-1], f"gpu 00000000:4B:00.0, {last}"]).states


def of_fips(*log: str) -> dict[str, Any]:
    """An Engine of an image for FIPS, and what it says."""
    return serving(list(log)) | engine(release="release-260812-fips")


def refusing(span: str) -> dict[str, Any]:
    return serving([f"WARN {span}: impeller::model_suppliers::autoload: Failed to load model err=Corrupt"])


def without_tls() -> dict[str, Any]:
    """An API that is to have TLS, and nobody is there who has."""
    secured = want(api_tls={"name": "deepgram-api", "authority": "/nowhere"}, deepgram_api_port=1)
    return secured | {"planned": {"route": {"login": ""}, "desired": secured["desired"]}}


LATER = str(int(STARTED.timestamp()) + 60)
FAULTS = {
    "ssh refused": (test_reachable.test_reachable, {"first_word": {"problem": "Permission denied"}}),
    "module not loaded": (test_driver.test_loaded, part("driver", loaded=NOTHING)),
    "driver upgraded on disk": (test_driver.test_loaded_is_installed, part("driver", installed="580.200.01")),
    "no driver at all": (test_driver.test_loaded_is_installed, part("driver", loaded=NOTHING, installed=NOTHING)),
    "library mismatch": (test_driver.test_tools_match, part("driver", smi=Answer(18, "", "mismatch"))),
    "other branch": (test_driver.test_version, part("driver", loaded="590.48.01")),
    "other exact version": (test_driver.test_version, want(nvidia_driver_version="580.95.05")),
    "nouveau": (test_driver.test_nouveau_absent, part("driver", nouveau="/sys/module/nouveau")),
    "one GPU not persistent": (test_driver.test_persistent, part("driver", persistence="Enabled\nDisabled")),
    "package not held": (test_driver.test_held, part("packages", held="nvidia-open")),
    "no driver package": (test_driver.test_held, part("packages", installed="libnvidia-ml1")),
    "GPU fallen off the bus": (test_gpu.test_all_in_use, {"seen": gpus.smi(ROWS[:1])}),
    "no GPU plugged in": (test_gpu.test_all_in_use, {"seen": [], **part("driver", pci="")}),
    "fewer GPUs than said": (test_gpu.test_count, want(preflight_gpu_count=4)),
    "more GPUs than said": (test_gpu.test_count, want(preflight_gpu_count=1)),
    "too few GPUs": (test_gpu.test_count, want(preflight_min_gpu_count=3)),
    "other model of GPU": (test_gpu.test_names, want(preflight_gpu_names=["NVIDIA L4"])),
    "small GPU": (test_gpu.test_memory, want(preflight_min_gpu_memory_mb=20000)),
    "memory unknown": (test_gpu.test_memory, {"seen": gpus.smi([ROWS[0].replace("15360", "[N/A]")])}),
    "Fabric Manager stopped": (test_fabric.test_manager_runs, board(unit="failed")),
    "Fabric Manager of another version": (test_fabric.test_manager_matches_driver, board(version="580.95.05")),
    "Fabric Manager not installed": (test_fabric.test_manager_matches_driver, board(version="")),
    "GPU not in the fabric": (test_fabric.test_gpus_joined, board(states=fabric_of("In Progress, N/A"))),
    "GPU's fabric broken": (test_fabric.test_gpus_joined, board(states=fabric_of("Completed, Insufficient Resources"))),
    "nvidia-smi tells fewer GPUs of the fabric": (test_fabric.test_gpus_joined, {"seen_gpus": 3}),
    "MIG": (test_gpu.test_mig_off, {"seen": gpus.smi([ROWS[0].replace("[N/A]", "Enabled")])}),
    "toolkit of two versions": (
        test_toolkit.test_one_version,
        {"toolkit": Answer(0, healthy()["toolkit"].out.replace("1.20.1-1", "1.19.1-1", 1))},
    ),
    "toolkit package missing": (
        test_toolkit.test_one_version,
        {"toolkit": Answer(0, "\n".join(healthy()["toolkit"].lines[1:]))},
    ),
    "CDI of an older driver": (test_cdi.test_driver_version, part("cdi", file=CDI.replace(VERSION, "580.95.05"))),
    "no CDI file": (test_cdi.test_driver_version, part("cdi", file=NOTHING)),
    "CDI lacks a GPU": (test_cdi.test_every_gpu, part("cdi", file=CDI.replace('"1"', '"7"'))),
    "CDI names a GPU of another server": (
        test_cdi.test_every_gpu,
        part(
            "cdi",
            file=CDI.replace('"1"', '"GPU-ffffffff-0000-1111-2222-333333333333"').replace('"0"', '"0"\n- name: "1"'),
        ),
    ),
    "CDI lacks all": (test_cdi.test_every_gpu, part("cdi", file=CDI.replace("all", "none"))),
    "second CDI file": (test_cdi.test_only_one, part("cdi", second="/etc/cdi/nvidia.yaml")),
    "refresh off": (test_cdi.test_refreshed, part("cdi", refresh=Answer(1, "disabled"))),
    "no Engine": (test_containers.test_running, {"containers_seen": healthy()["containers_seen"] | {"engine": ABSENT}}),
    "Engine between restarts": (test_containers.test_running, engine(restarting=True)),
    # In an hour, because it is read when the tests are collected, and they may take long.
    "Engine in a loop": (
        test_containers.test_not_in_a_loop,
        engine(restarts=5, started=datetime.now(UTC) + timedelta(hours=1)),
    ),
    "other image": (test_containers.test_pinned_image, engine(digests={OTHER})),
    "image of the tag": (test_containers.test_pinned_image, want(deepgram_image_digests={"engine": OTHER})),
    "not what the other servers got": (test_containers.test_pinned_image, want(images_locked={"engine": OTHER})),
    "nothing pinned": (test_containers.test_pinned_image, part("on_host", images_api=NOTHING)),
    "other release": (test_containers.test_release, want(deepgram_release="release-261001")),
    "stays down": (test_containers.test_comes_back, engine(policy="no")),
    "not started at boot": (test_containers.test_start_at_boot, part("on_host", boot=Answer(1, "disabled"))),
    "log without end": (test_containers.test_logs_rotate, engine(log={"Type": "json-file", "Config": {}})),
    "GPU hidden": (test_containers.test_sees_the_gpus, part("on_host", gpus=NOTHING)),
    "one GPU hidden": (test_containers.test_sees_the_gpus, part("on_host", gpus=listed(A))),
    "driver lost everywhere": (
        test_containers.test_sees_the_gpus,
        {"engine_gpus": [], **part("on_host", gpus=NOTHING)},
    ),
    "old file in the container": (test_config.test_same_file, part("files", engine_inside="cd34")),
    "no file": (test_config.test_same_file, part("files", engine_inside=NOTHING, engine_outside=NOTHING)),
    "edited, not restarted": (test_config.test_read_at_start, part("files", engine_written=LATER)),
    "key for all to read": (test_config.test_secrets_private, part("files", modes="644 root /etc/deepgram/x")),
    "key of a user": (test_config.test_secrets_private, part("files", modes="600 ops /etc/deepgram/x")),
    "no key file": (test_config.test_secrets_private, part("files", modes="")),
    "key in arguments": (test_config.test_key_not_in_arguments, part("files", carriers="docker")),
    "key unknown": (test_config.test_key_not_in_arguments, part("files", carriers=NOTHING)),
    "other limit": (test_engine.test_max_active_requests, serving(metrics="engine_max_active_requests 5")),
    "limit not read": (test_engine.test_max_active_requests, serving(metrics="engine_max_active_requests 0")),
    "no metrics": (test_engine.test_max_active_requests, serving(metrics=NOTHING)),
    "metrics without it": (test_engine.test_max_active_requests, serving(metrics="other 20")),
    "no limit wanted": (test_engine.test_max_active_requests, want(deepgram_engine_max_active_requests=None)),
    "default configuration": (
        test_config.test_own_configuration,
        serving(["WARN Configuration file not found at /config/x. Falling back to default configuration"]),
    ),
    "CPU": (test_engine.test_on_the_gpu, serving(["INFO impeller::config: Using devices: CPU"])),
    "CPU later": (test_engine.test_on_the_gpu, serving([*LOG, "INFO x: Using devices: CPU"], devices="/dev/nvidia0")),
    "only one GPU used": (test_engine.test_on_the_gpu, serving(["INFO impeller::config: Using devices: Gpu(0)"])),
    "no proof of a GPU": (test_engine.test_on_the_gpu, serving([])),
    "model file missing": (test_models.test_files, {"sizes": {BATCH: 5, STREAM: 5}}),
    "model file cut": (test_models.test_files, {"sizes": {BATCH: 5, STREAM: 4, HELPER: 5}}),
    "model file that other servers have otherwise": (test_models.test_files, want(models_locked={BATCH: "cd"})),
    "no models wanted": (test_models.test_files, want(models=[])),
    "model not loaded": (test_models.test_loaded, serving(models=PAGE.replace('"batch":true', '"batch":false'))),
    "helper not loaded": (test_models.test_loaded, serving(LOG[:1])),
    "loaded once, gone now": (test_models.test_loaded, serving([inserted("nova-3-general", "batch")], models="{}")),
    "model refused": (test_models.test_none_refused, refusing(f"load_model{{path=/models/{BATCH}}}")),
    "model refused, its file not named": (test_models.test_none_refused, refusing("load_model")),
    "not FIPS": (test_config.test_fips, of_fips("INFO stem: openssl_fips_enabled=true has_fips_encryption=false")),
    "full precision": (test_engine.test_half_precision, serving(["INFO impeller: Inference half_precision=false"])),
    "unhealthy": (test_api.test_health, serving(status='{"system_health":"Critical"}')),
    "still starting": (test_api.test_health, serving(status='{"system_health":"Initializing"}')),
    "status is a page": (test_api.test_health, serving(status="<html>")),
    "no Engine connected": (test_api.test_engine_connected, serving(engine='{"engine_connection_status":"X"}')),
    "no TLS at the API": (test_api.test_certificate, without_tls()),
    "near its end": (test_api.test_end_of_life, serving(certificates=days(80))),
    "life unknown": (test_api.test_end_of_life, serving(certificates="{}")),
    "license proxy on its memory": (
        test_license_proxy.test_state,
        part("license_proxy", status='{"state":"TrustBased"}'),
    ),
    "license proxy silent": (test_license_proxy.test_state, part("license_proxy", status=NOTHING)),
    "license proxy near its end": (test_license_proxy.test_end_of_life, part("license_proxy", certificates=days(80))),
    "Billing silent": (test_billing.test_end_of_life, part("billing", certificates=NOTHING)),
    "Billing near its end": (test_billing.test_end_of_life, part("billing", certificates=days(80))),
    "no journal": (test_billing.test_journal, part("billing", journal="")),
    "no folder of the journal": (test_billing.test_journal, part("billing", journal=NOTHING)),
    "licence key that others read": (
        test_config.test_secrets_private,
        part("files", modes="600 root /etc/deepgram/deepgram.env\n644 root /etc/deepgram/api/api.toml"),
    ),
    "licence that others read": (
        test_config.test_secrets_private,
        part("files", modes="644 root /etc/deepgram-billing/license/license.dg"),
    ),
    "nobody watches": (test_upstreams.test_watched, part("upstreams", unit=Answer(3, "failed"))),
    "server down": (
        test_upstreams.test_members_up,
        part("upstreams", state='{"members": {"gpu1": {"state": "up"}, "gpu2": {"state": "down"}}}'),
    ),
    "all drained": (
        test_upstreams.test_members_up,
        part("upstreams", state='{"members": {"gpu1": {"state": "drained"}, "gpu2": {"state": "drained"}}}'),
    ),
    "server not known": (
        test_upstreams.test_members_up,
        part("upstreams", state='{"members": {"gpu1": {"state": "up"}}}'),
    ),
    "no state": (test_upstreams.test_members_up, part("upstreams", state=NOTHING)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_fails_its_check(fault):
    check, change = FAULTS[fault]
    verdicts = {verdict(check, healthy() | change, **case) for case in cases(check)}
    assert "fail" in verdicts


def test_every_check_has_a_fault_here():
    """Except the open port, which needs a port: below."""
    assert {check for check, _ in CHECKS} - {check for check, _ in FAULTS.values()} == {test_ports.test_closed}


def test_open_port_is_seen():
    world = healthy()
    with socket.create_server(("127.0.0.2", 0)) as server:
        world["desired"] |= {"deepgram_api_port": server.getsockname()[1]}
        world["address"] = "127.0.0.2"
        assert verdict(test_ports.test_closed, world, part="api") == "fail"
        assert verdict(test_ports.test_closed, world | {"behind_jump": True}, part="api") == "skip"
        world["desired"] |= {"deepgram_api_bind_address": "0.0.0.0"}
        assert verdict(test_ports.test_closed, world, part="api") == "skip"
        world["desired"] |= {"host_firewall_rules": [{"port": 8080}]}
        assert verdict(test_ports.test_closed, world, part="api") == "fail"


@pytest.mark.parametrize(
    ("check", "off"),
    [(test_driver.test_held, "nvidia_driver_hold"), (test_driver.test_persistent, "nvidia_driver_persistence")],
)
def test_what_is_switched_off_is_skipped(check, off):
    assert verdict(check, healthy() | want(**{off: False})) == "skip"


def test_full_precision_is_right_where_it_is_wanted():
    world = healthy() | serving(["INFO impeller: half_precision=false"]) | want(half_precision="disabled")
    assert verdict(test_engine.test_half_precision, world) == "skip"


def test_an_image_for_fips_in_that_mode():
    world = healthy() | of_fips("INFO impeller: openssl_fips_enabled=true has_fips_encryption=true")
    assert verdict(test_config.test_fips, world, part="engine") == "pass"


def test_a_refused_file_that_is_no_longer_there_is_none():
    world = healthy() | refusing("load_model{path=/models/gone.en.batch.1.dg}")
    assert verdict(test_models.test_none_refused, world) == "pass"


def test_open_devices_prove_the_gpus_when_the_log_has_rotated():
    world = healthy() | serving([], devices="/dev/nvidia0\n/dev/nvidia1")
    assert verdict(test_engine.test_on_the_gpu, world) == "pass"


ALONE = {"parts": ["engine"]}  # an Engine whose API runs on another server
EACH_INSERTED = [inserted("nova-3-general", "batch"), inserted("nova-3-general", "streaming"), *LOG]


@pytest.mark.parametrize(
    ("log", "result"),
    [(EACH_INSERTED, "pass"), (EACH_INSERTED[1:], "fail"), ([], "skip")],
)
def test_an_engine_without_an_api_is_judged_by_its_log(log, result):
    assert verdict(test_models.test_loaded, healthy() | serving(log, models="{}") | ALONE) == result


@pytest.mark.parametrize(("models", "result"), [([BATCH, STREAM], "pass"), ([BATCH, STREAM, HELPER], "fail")])
def test_with_an_api_a_log_that_rotated_away_excuses_nothing(models, result):
    world = healthy() | serving([]) | want(models=[{"file": file, "sha256": None} for file in models])
    assert verdict(test_models.test_loaded, world) == result


def test_a_helper_that_was_refused_is_not_loaded_by_an_older_line():
    log = [*LOG, f"ERROR Failed to load model: x path=/m/{HELPER}"]
    assert verdict(test_models.test_loaded, healthy() | serving(log)) == "fail"
    assert verdict(test_models.test_none_refused, healthy() | serving(log)) == "fail"
    assert verdict(test_models.test_none_refused, healthy() | serving(log) | {"sizes": {BATCH: 5}}) == "pass"
    assert verdict(test_models.test_none_refused, healthy() | engine(running=False)) == "fail"


@pytest.mark.parametrize(
    ("rows", "changes", "result"),
    [
        ((), {}, "fail"),
        ((), {"preflight_min_gpu_count": None}, "fail"),
        ((), {"preflight_min_gpu_count": 0}, "fail"),
        (ROWS[:1], {"preflight_min_gpu_count": None}, "pass"),
        (ROWS, {"preflight_min_gpu_count": None}, "pass"),
        (ROWS, {"preflight_min_gpu_count": 2}, "pass"),
        (ROWS, {"preflight_gpu_count": 2, "preflight_min_gpu_count": 4}, "pass"),
        ((), {"preflight_gpu_count": 0}, "pass"),
    ],
)
def test_how_many_gpus_are_enough(rows, changes, result):
    assert verdict(test_gpu.test_count, healthy() | {"seen": gpus.smi(list(rows))} | want(**changes)) == result


@pytest.mark.parametrize("check", [test_gpu.test_names, test_gpu.test_memory, test_gpu.test_mig_off])
def test_no_gpu_at_all_is_nothing_to_be_content_with(check):
    assert verdict(check, healthy() | {"seen": []}) == "fail"
    assert verdict(check, healthy() | {"seen": []} | want(preflight_gpu_names=["Tesla T4"])) == "fail"


def test_named_models_of_gpus():
    assert verdict(test_gpu.test_names, healthy() | want(preflight_gpu_names=["Tesla T4", "NVIDIA L4"])) == "pass"
    other = {"seen": gpus.smi([ROWS[0], ROWS[1].replace("Tesla T4", "NVIDIA A2")])}
    assert verdict(test_gpu.test_names, healthy() | other | want(preflight_gpu_names=["Tesla T4"])) == "fail"
    assert verdict(test_gpu.test_names, healthy() | other) == "pass"
