"""GPUs that do not answer or are not there, and the board that joins them."""

from tests.doctor.faults.table import fault
from tests.doctor.patient import OLDER, VERSION, A, B, smi_row

LOST = "Unable to determine the device handle for GPU0: 0000:3B:00.0: GPU is lost.  Reboot the system to recover this GPU\n"


@fault({"gpu answers": "reboot", "xid": "reboot"})
def off_the_bus(patient):
    patient.smi(LOST, status=15)
    patient.say("inside engine", LOST, 15)
    patient.log("NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.")


@fault({"gpu answers": "reboot"})
def one_of_two_off_the_bus(patient):
    patient.gpu(B, "1eb8")
    patient.records["nvidia_driver"]["driver"]["gpus"] = [A, B]


@fault({"gpu answers": "reboot"})
def smi_hangs(patient):
    patient.say("smi", "", None, "nvidia-smi: no answer in 30 s")


@fault({"gpu answers": "reboot"})
def needs_reset(patient):
    patient.smi(smi_row(temperature_gpu="[GPU requires reset]"))


@fault({"gpu count": "reseat"})
def gpu_missing(patient):
    patient.records["nvidia_driver"]["driver"]["gpus"] = [A, B]


@fault({"gpu count": "reseat"})
def fewer_than_reported(patient):
    patient.parameters["gpu_count"] = 2
    patient.records.clear()


def board(patient, package=VERSION, unit="active", state="Completed"):
    patient.gpu(A, "2330")
    patient.smi(smi_row(fabric_state=state, fabric_status="Success"))
    patient.gpu("0000:05:00.0", "22a3", kind="0x068000")
    if package:
        patient.package("nvidia-fabricmanager", f"{package}-1", "hold")
    patient.units(**({"nvidia-fabricmanager": unit} if unit else {}))


@fault({"fabric manager": "dgctl provision"})
def fabric_manager_missing(patient):
    board(patient, package="", unit="", state="In Progress")


@fault({"fabric manager": "dgctl provision"})
def fabric_manager_of_another_version(patient):
    board(patient, package=OLDER, unit="failed", state="In Progress")


@fault({"fabric manager": "systemctl enable --now nvidia-fabricmanager"})
def fabric_manager_stopped(patient):
    board(patient, unit="inactive")


@fault({"fabric manager": "systemctl restart nvidia-fabricmanager"})
def fabric_not_trained(patient):
    board(patient, state="In Progress")
