"""How a GPU and its server are set and worn: modes, flavour, link, memory, heat, clock."""

from tests.doctor.faults.table import fault
from tests.doctor.patient import PROPRIETARY, VERSION, A, B, smi_row


@fault({"clock": "timedatectl set-ntp true"})
def clock_off(patient):
    patient.parameters["controller_time"] -= 86400


@fault({"mig": "nvidia-smi -i 0 -mig 0"})
def mig(patient):
    patient.smi(smi_row(mig_mode_current="Enabled"))


@fault({"module flavour": "nvidia_driver_kernel_module: proprietary"})
def open_on_volta(patient):
    patient.gpu(A, "1db4")
    patient.say("smi", "No devices were found\n", 6)
    patient.log("NVRM: GPU 0000:3b:00.0: RmInitAdapter failed! (0x22:0x56:884)")


@fault({"module flavour": "no driver drives all of these GPUs"})
def open_on_volta_and_blackwell(patient):
    open_on_volta(patient)
    patient.gpu(B, "2901")
    patient.records["nvidia_driver"]["driver"]["gpus"] = [A, B]
    patient.smi(smi_row(1, B))


@fault({"module flavour": "nvidia_driver_kernel_module: open"})
def proprietary_on_blackwell(patient):
    patient.gpu(A, "2901")
    patient.loaded(VERSION, PROPRIETARY)
    patient.module(VERSION, "NVIDIA")
    patient.say("smi", "No devices were found\n", 6)
    patient.log("NVRM: GPU 0000:3b:00.0: RmInitAdapter failed! (0x62:0x1a:2631)")


@fault({"pcie link": "reseat"})
def half_width(patient):
    patient.smi(smi_row(pcie_link_width_current="8"))


@fault({"pcie link": "reseat"})
def half_width_by_the_kernel(patient):
    patient.gpu(A, "1eb8", current_link_width="8", max_link_width="16")


@fault({"gpu memory": "nvidia-smi --gpu-reset -i 0"})
def retirement_pending(patient):
    patient.smi(smi_row(retired_pages_pending="Yes"))


@fault({"gpu memory": "nvidia-smi --gpu-reset -i 0"})
def remapping_pending(patient):
    patient.smi(smi_row(retired_pages_pending="[N/A]", remapped_rows_pending="Yes", remapped_rows_failure="No"))


@fault({"gpu memory": "replace the GPU"})
def remapping_failed(patient):
    patient.smi(smi_row(retired_pages_pending="[N/A]", remapped_rows_pending="No", remapped_rows_failure="Yes"))


@fault({"ecc errors": "nvidia-smi --gpu-reset -i 0"})
def ecc(patient):
    patient.smi(smi_row(ecc_errors_uncorrected_volatile_total="3"))


@fault({"gpu recovery": "reboot"})
def recovery(patient):
    patient.smi(smi_row(gpu_recovery_action="Node Reboot Required"))


@fault({"gpu slowdown": "fans"})
def hot(patient):
    patient.smi(smi_row(clocks_event_reasons_hw_slowdown="Active", clocks_event_reasons_hw_thermal_slowdown="Active"))


@fault({"gpu slowdown": "power supplies"})
def power(patient):
    patient.smi(smi_row(clocks_event_reasons_hw_slowdown="Active"))


@fault({"persistence": "systemctl restart nvidia-persistenced"})
def not_persistent(patient):
    patient.smi(smi_row(persistence_mode="Disabled"))


@fault({"xid": "reboot"})
def xid_79(patient):
    patient.log("NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.")


@fault({"xid": "reboot"})
def xid_of_old_spelling(patient):
    patient.log("NVRM: Xid (0000:3b:00): 48, Double Bit ECC Error")


@fault({"repositories": "/etc/apt/keyrings/none.gpg"})
def foreign_key(patient):
    line = "deb [signed-by=/etc/apt/keyrings/none.gpg] https://x.example/debian trixie main\n"
    patient.write("/etc/apt/sources.list.d/x.list", line)
