"""The driver: its module, its library, and what keeps them from the GPUs."""

from tests.doctor.faults.table import fault
from tests.doctor.patient import CDI, OLDER, VERSION, A

MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.173"
NOT_LOADED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver "
    "is installed and running."
)
REJECTED = "nvidia: module verification failed: signature and/or required key missing"


@fault({"driver versions": "dgctl provision"})
def library_mismatch(patient):
    patient.loaded(OLDER)
    patient.say("smi", MISMATCH, 18)
    patient.say("inside engine", MISMATCH, 18)
    patient.log(f"NVRM: API mismatch: the client has the version {VERSION}, but")
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.7.0", version=OLDER))
    patient.write(f"/usr/lib/x86_64-linux-gnu/libcuda.so.{OLDER}")


@fault({"driver versions": "dgctl provision"})
def module_missing(patient):
    patient.loaded("")
    patient.say("smi", NOT_LOADED, 9)


@fault({"driver versions": "dgctl provision"})
def driver_missing(patient):
    module_missing(patient)
    patient.module("")
    patient.remove("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1")


@fault({"module for next kernel": "dkms autoinstall -k 99.1.0-10-amd64"})
def next_kernel_without_module(patient):
    patient.kernel("99.1.0-9-amd64", module=True)
    patient.kernel("99.1.0-10-amd64", module=False)


@fault({"module for next kernel": "dkms autoinstall -k 99.1.0-9-amd64"})
def first_boot_entry_without_module(patient):
    patient.kernel("99.1.0-9-amd64", module=False)
    patient.kernel("99.1.0-10-amd64", module=True)
    patient.write(
        "/boot/grub/grub.cfg", 'set default="0"\nmenuentry x {\n\tlinux\t/boot/vmlinuz-99.1.0-9-amd64 ro\n}\n'
    )


@fault({"driver versions": "", "nouveau": "dgctl provision"})
def nouveau(patient):
    module_missing(patient)
    patient.write("/sys/module/nouveau/initstate", "live\n")
    patient.gpu(A, "1eb8", "nouveau")


@fault({"driver versions": "", "nouveau": "modprobe -r nouveau nova_core"})
def nova(patient):
    module_missing(patient)
    patient.write("/sys/module/nova_core/initstate", "live\n")


@fault({"driver versions": "", "secure boot": "mokutil --import /var/lib/dkms/mok.pub"})
def key_rejected(patient):
    module_missing(patient)
    patient.say("secure_boot", "SecureBoot enabled\n")
    patient.say("enrolled", "[key 1]\nSubject: CN=Debian Secure Boot CA\n")
    patient.log(REJECTED)


@fault({"driver versions": "", "secure boot": "mokutil --import"})
def key_rejected_without_mokutil(patient):
    module_missing(patient)
    patient.write("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\x06\x00\x00\x00\x01")
    patient.log("Loading of unsigned module is rejected")
