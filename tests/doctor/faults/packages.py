"""Packages: versions, holds, and who else brings a driver."""

from tests.doctor.faults.table import fault
from tests.doctor.patient import APT, DRIVER_PACKAGES, NEWER, NVIDIA_REPOSITORY, VERSION, policy


@fault({"package versions": f"libcuda1={VERSION}-1"})
def package_upgraded(patient):
    patient.package("libcuda1", f"{NEWER}-1", "hold")


@fault({"package versions": "dgctl provision --full"})
def packages_apart_without_a_record(patient):
    package_upgraded(patient)
    patient.records.clear()


@fault({"package versions": "dgctl provision --full"})
def tool_of_another_branch(patient):
    """The record has it so by now: only the driver beside it tells."""
    patient.package("nvidia-modprobe", "595.91.07-1")
    text = patient.programs.reported("apt_policy").text + policy("nvidia-modprobe", "595.91.07-1")
    patient.say("apt_policy", text)


@fault({"package versions": f"nvidia-persistenced={VERSION}-1"})
def package_removed(patient):
    patient.package("nvidia-persistenced", f"{VERSION}-1", "deinstall", "config-files")


@fault({"package state": "dpkg --configure -a"})
def half_configured(patient):
    patient.package("libfoo", "1", status="half-configured")


@fault({"package state": "dpkg --configure -a"})
def dpkg_killed(patient):
    patient.write("/var/lib/dpkg/updates/0001", "Package: x\n")


@fault({"package state": "apt-get --fix-broken install"})
def unmet(patient):
    text = "Reading package lists...\nThe following packages have unmet dependencies:\n"
    text += (
        f" nvidia-driver-cuda : Depends: libcuda1 (= {VERSION}-1) but {NEWER}-1 is installed\nE: Unmet dependencies.\n"
    )
    patient.say("apt_check", text, 100)


@fault({"holds": "apt-mark hold nvidia-open"})
def hold_lifted(patient):
    patient.package("nvidia-open", f"{VERSION}-1")


@fault({"holds": "apt-mark hold libcuda1", "unattended upgrades": "dgctl provision --full"})
def nightly_upgrades(patient):
    patient.package("unattended-upgrades", "2.12")
    patient.package("libcuda1", f"{VERSION}-1")
    patient.say("apt_config", APT + 'APT::Periodic::Unattended-Upgrade "1";\n')


@fault({"driver sources": "apt-get purge nvidia-alternative"})
def distributions_packages(patient):
    patient.package("nvidia-alternative", "550.163.01-2")
    other = policy("nvidia-alternative", "550.163.01-2", "http://deb.debian.org/debian")
    patient.say("apt_policy", other + "".join(policy(name, f"{VERSION}-1") for name in DRIVER_PACKAGES[:3]))


@fault({"driver sources": "apt-get purge"})
def two_kernel_modules(patient):
    patient.package("nvidia-open-kernel-dkms", "550.163.01-2")
    patient.records.clear()


@fault({"driver sources": "apt-get purge", "holds": ""})
def other_source_would_be_taken(patient):
    patient.package("libcuda1", f"{VERSION}-1")
    patient.say(
        "apt_policy", policy("libcuda1", f"{VERSION}-1", candidate="590.48.01-1", other="http://deb.debian.org/debian")
    )


@fault(
    {
        "driver sources": "rm /etc/apt/sources.list.d/cuda-debian13-x86_64.list",
        "repositories": "publishes",
    }
)
def one_repository_two_keys(patient):
    ours = f"Types: deb\nURIs: {NVIDIA_REPOSITORY}/\nSuites: /\nSigned-By: /etc/apt/keyrings/nvidia-driver.gpg\n"
    patient.write("/etc/apt/sources.list.d/nvidia-driver.sources", ours)
    theirs = f"deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] {NVIDIA_REPOSITORY}/ /\n"
    patient.write("/etc/apt/sources.list.d/cuda-debian13-x86_64.list", theirs)


@fault({"driver leftovers": "/usr/bin/nvidia-uninstall --silent"})
def run_file(patient):
    patient.write("/usr/bin/nvidia-uninstall")
