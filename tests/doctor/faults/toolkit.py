"""The container toolkit: its packages, CDI's files, and what refreshes them."""

from tests.doctor.faults.table import fault
from tests.doctor.patient import CDI, OLDER, VERSION


@fault({"toolkit versions": "dgctl provision", "package versions": "dgctl provision", "holds": ""})
def toolkit_versions(patient):
    patient.package("nvidia-container-toolkit-base", "1.19.1-1")


@fault({"cdi specifications": "rm /etc/cdi/nvidia.yaml"})
def cdi_stale(patient):
    patient.write("/etc/cdi/nvidia.yaml", CDI.format(cdi="0.5.0", version="570.172.08"))


@fault({"cdi specifications": "rm /etc/cdi/gpus.yaml"})
def cdi_second(patient):
    patient.write("/etc/cdi/gpus.yaml", CDI.format(cdi="0.7.0", version=VERSION))


@fault({"cdi specifications": "systemctl restart nvidia-cdi-refresh"})
def cdi_of_an_older_driver(patient):
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.7.0", version=OLDER))


@fault({"cdi specifications": "systemctl restart nvidia-cdi-refresh"})
def cdi_of_another_gpu(patient):
    foreign = 'name: "GPU-ffffffff-0000-1111-2222-333333333333"'
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.7.0", version=VERSION).replace("name: all", foreign))


@fault({"cdi specifications": "systemctl restart nvidia-cdi-refresh"})
def cdi_without_libcuda(patient):
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.7.0", version=VERSION).replace("libcuda", "libodd"))


@fault({"cdi specifications": "systemctl restart nvidia-cdi-refresh"})
def cdi_names_what_is_missing(patient):
    patient.remove(f"/usr/lib/x86_64-linux-gnu/libcuda.so.{VERSION}")


@fault({"cdi specifications": "systemctl restart nvidia-cdi-refresh"})
def cdi_missing(patient):
    patient.remove("/run/cdi/nvidia.yaml")


@fault({"cdi version": "dgctl provision"})
def cdi_too_new_for_docker(patient):
    patient.engine.api["/version"] = {"Version": "25.0.3"}


@fault({"cdi version": "dgctl provision"})
def cdi_too_new_for_podman(patient):
    patient.podman()
    patient.say("podman_version", "podman version 4.9.3\n")


@fault({"cdi version": "upgrade docker"})
def docker_without_cdi(patient):
    patient.engine.api["/version"] = {"Version": "20.10.24+dfsg1"}
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.5.0", version=VERSION))


@fault({"cdi version": "systemctl restart nvidia-cdi-refresh"})
def cdi_that_nobody_reads(patient):
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi='"9.9.9"', version=VERSION))


@fault({"cdi refresh": "systemctl restart nvidia-cdi-refresh"})
def refresh_failed(patient):
    patient.units(service="failed", result="exit-code")


@fault({"cdi refresh": "systemctl enable --now nvidia-cdi-refresh.path"})
def refresh_off(patient):
    patient.units(path="inactive")
