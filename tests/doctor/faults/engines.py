"""The container engine and the Engine's container."""

import time
from pathlib import Path

from tests import log_forms
from tests.doctor.faults.table import fault
from tests.doctor.faults.toolkit import cdi_without_libcuda

SAMPLES = Path(__file__).parents[2] / "samples/deepgram"


@fault({"docker runtime": "dgctl provision"})
def runtime_lost(patient):
    patient.daemon({"log-driver": "json-file"})
    patient.engine.api["/info"] = {"Runtimes": {"runc": {}}, "CDISpecDirs": []}


@fault({"docker runtime": "dgctl provision"})
def runtime_lost_until_the_next_start(patient):
    patient.daemon({"log-driver": "json-file"})


@fault({"docker runtime": "systemctl restart docker"})
def docker_not_restarted(patient):
    patient.engine.api["/info"] = {"Runtimes": {"runc": {}}, "CDISpecDirs": None}


@fault({"docker runtime": "journalctl -u docker"})
def docker_down(patient):
    from ansible.module_utils.doctor.engine import Silent

    patient.records["deepgram"]["containers"]["names"] = {}
    patient.engine.api = dict.fromkeys(
        ["/info", "/version", "/containers/deepgram-engine/json"], Silent("Docker does not answer: Connection refused")
    )


@fault({"daemon.json": "systemctl restart docker"})
def daemon_json_malformed(patient):
    docker_down(patient)
    patient.daemon('{\n    "features": {"cdi": true},\n    "live-restore": true,,\n}\n')


@fault({"gpu in containers": "docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate engine"})
def unknown_error(patient):
    patient.say("inside engine", "Failed to initialize NVML: Unknown Error\n", 255)


@fault({"gpu in containers": "systemctl restart deepgram-engine.service"})
def unknown_error_podman(patient):
    patient.podman()
    unknown_error(patient)


@fault({"gpu in containers": "force-recreate engine"})
def exec_hangs(patient):
    patient.say("inside engine", "", None, "docker: no answer in 30 s")


@fault({"engine on gpu": "force-recreate engine"})
def engine_on_cpu(patient):
    patient.remove("/proc/4711/root/dev/nvidia0")
    patient.say("inside engine", 'exec: "nvidia-smi": executable file not found in $PATH\n', 127)


@fault({"containers": "docker logs", "engine on gpu": "force-recreate engine"})
def engine_without_a_gpu_that_ends(patient):
    patient.container("engine", 0, "restarting", Restarting=True, ExitCode=1)
    patient.engine.api["/containers/deepgram-engine/json"]["HostConfig"] = {"DeviceRequests": None, "Runtime": "runc"}


@fault(
    {
        "containers": "docker logs",
        "cdi specifications": "systemctl restart nvidia-cdi-refresh",
        "libcuda in containers": "systemctl restart nvidia-cdi-refresh.service; docker compose",
    }
)
def libcuda_missing_and_engine_ends(patient):
    cdi_without_libcuda(patient)
    patient.container("engine", 0, "restarting", Restarting=True, ExitCode=1)


@fault({"containers": "journalctl -u deepgram-engine", "engine on gpu": "dgctl provision"})
def engine_without_a_gpu_that_ends_podman(patient):
    patient.podman("[Container]\nEnvironment=NVIDIA_VISIBLE_DEVICES=all\n")


@fault(
    {
        "containers": "journalctl -u deepgram-engine",
        "cdi specifications": "systemctl restart nvidia-cdi-refresh",
        "libcuda in containers": "systemctl restart nvidia-cdi-refresh.service; systemctl restart deepgram-engine",
    }
)
def libcuda_missing_and_engine_ends_podman(patient):
    cdi_without_libcuda(patient)
    patient.podman("[Container]\nAddDevice=nvidia.com/gpu=all\n")


@fault({"daemon.json": "systemctl restart docker"})
def daemon_json_malformed_and_not_read_yet(patient):
    patient.daemon('{\n    "debug": true,,\n}\n')


@fault({"libcuda in containers": "systemctl restart nvidia-cdi-refresh.service; docker compose"})
def libcuda_missing(patient):
    patient.remove("/proc/4711/root/usr/lib/x86_64-linux-gnu/libcuda.so.1")


@fault({"containers": "set deepgram_api_key in group_vars/all/vault.yml"})
def engine_without_a_key(patient):
    patient.container("engine", 0, "restarting", Restarting=True, ExitCode=1)
    patient.say("log_engine", log_forms.reported("json", "Missing license configuration", "ERROR", "impeller::config"))


@fault({"containers": "set deepgram_release to a newer release"})
def engine_that_is_just_starting_again(patient, pid=4711):
    """Between two ends it runs for a moment."""
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3))
    patient.container("engine", pid, "running", StartedAt=started)
    patient.engine.api["/containers/deepgram-engine/json"]["RestartCount"] = 4
    patient.say("start_engine", "")
    words = "Certificates have expired. This release is past its end of life"
    patient.say("log_engine", log_forms.reported("full", words, "ERROR", "impeller"))


@fault({"containers": "set deepgram_release to a newer release"})
def engine_that_ends_while_it_is_looked_at(patient):
    """Its processes, and so its root, are gone."""
    engine_that_is_just_starting_again(patient, pid=999999)


@fault({"containers": "make https://license.deepgram.com resolve"})
def engine_that_finds_no_licence_server(patient):
    patient.container("engine", 0, "restarting", Restarting=True, ExitCode=1)
    words = "Aegis request to https://license.deepgram.com failed: dns error: failed to lookup address information"
    patient.say("log_engine", log_forms.reported("full", words, "ERROR", "impeller::license"))


@fault({"containers": "set deepgram_release to release-251015 or newer; on the server: journalctl -u deepgram-engine"})
def engine_too_old_for_flux_podman(patient):
    patient.podman("[Container]\nAddDevice=nvidia.com/gpu=all\n")
    patient.say("log_engine", (SAMPLES / "flux_page_old_image.txt").read_text())


@fault({"containers": "docker logs --tail 50 deepgram-engine"})
def engine_ended(patient):
    patient.container("engine", 0, "exited", ExitCode=137, Error="OOM")
