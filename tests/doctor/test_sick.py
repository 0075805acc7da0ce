"""Each sickness is called by its name, with a cause and the command that cures it, and nothing else is blamed for it."""

import pytest
from ansible.module_utils import doctor, doctor_smi

from tests.doctor.patient import (
    APT,
    BLACKLIST,
    CDI,
    DAEMON,
    DRIVER_PACKAGES,
    NEWER,
    NVIDIA_REPOSITORY,
    OLDER,
    OPEN,
    PROPRIETARY,
    VERSION,
    A,
    B,
    policy,
    smi_row,
)

MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.173"
NOT_LOADED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver "
    "is installed and running."
)
LOST = "Unable to determine the device handle for GPU0: 0000:3B:00.0: GPU is lost.  Reboot the system to recover this GPU\n"
REJECTED = "nvidia: module verification failed: signature and/or required key missing"


def library_mismatch(patient):
    patient.loaded(OLDER)
    patient.say("smi", MISMATCH, 18)
    patient.say("inside", MISMATCH, 18)
    patient.log(f"NVRM: API mismatch: the client has the version {VERSION}, but")
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.7.0", version=OLDER))
    patient.write(f"/usr/lib/x86_64-linux-gnu/libcuda.so.{OLDER}")


def module_gone(patient):
    patient.loaded("")
    patient.say("smi", NOT_LOADED, 9)


def driver_gone(patient):
    module_gone(patient)
    patient.module("")
    patient.remove("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1")


def next_kernel_without_module(patient):
    patient.kernel("99.1.0-9-amd64", module=True)
    patient.kernel("99.1.0-10-amd64", module=False)


def first_boot_entry_without_module(patient):
    patient.kernel("99.1.0-9-amd64", module=False)
    patient.kernel("99.1.0-10-amd64", module=True)
    patient.write(
        "/boot/grub/grub.cfg", 'set default="0"\nmenuentry x {\n\tlinux\t/boot/vmlinuz-99.1.0-9-amd64 ro\n}\n'
    )


def nouveau(patient):
    module_gone(patient)
    patient.write("/sys/module/nouveau/initstate", "live\n")
    patient.gpu(A, "1eb8", "nouveau")


def nova(patient):
    module_gone(patient)
    patient.write("/sys/module/nova_core/initstate", "live\n")


def key_rejected(patient):
    module_gone(patient)
    patient.say("secure_boot", "SecureBoot enabled\n")
    patient.say("enrolled", "[key 1]\nSubject: CN=Debian Secure Boot CA\n")
    patient.log(REJECTED)


def key_rejected_without_mokutil(patient):
    module_gone(patient)
    patient.write("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\x06\x00\x00\x00\x01")
    patient.log("Loading of unsigned module is rejected")


def off_the_bus(patient):
    patient.smi(LOST, status=15)
    patient.say("inside", LOST, 15)
    patient.log("NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.")


def one_of_two_off_the_bus(patient):
    patient.gpu(B, "1eb8")
    patient.records["nvidia_driver"]["driver"]["gpus"] = [A, B]


def smi_hangs(patient):
    patient.say("smi", "", None, "nvidia-smi: no answer in 30 s")


def needs_reset(patient):
    patient.smi(smi_row(temperature_gpu="[GPU requires reset]"))


def gpu_missing(patient):
    patient.records["nvidia_driver"]["driver"]["gpus"] = [A, B]


def fewer_than_said(patient):
    patient.parameters["gpu_count"] = 2
    patient.records.clear()


def board(patient, package=VERSION, unit="active", state="Completed"):
    patient.gpu(A, "2330")
    patient.smi(smi_row(fabric_state=state, fabric_status="Success"))
    patient.gpu("0000:05:00.0", "22a3", kind="0x068000")
    if package:
        patient.package("nvidia-fabricmanager", f"{package}-1", "hold")
    patient.units(**({"nvidia-fabricmanager": unit} if unit else {}))


def fabric_manager_missing(patient):
    board(patient, package="", unit="", state="In Progress")


def fabric_manager_of_another_version(patient):
    board(patient, package=OLDER, unit="failed", state="In Progress")


def fabric_manager_stopped(patient):
    board(patient, unit="inactive")


def fabric_not_trained(patient):
    board(patient, state="In Progress")


def toolkit_versions(patient):
    patient.package("nvidia-container-toolkit-base", "1.19.1-1")


def cdi_stale(patient):
    patient.write("/etc/cdi/nvidia.yaml", CDI.format(cdi="0.5.0", version="570.172.08"))


def cdi_second(patient):
    patient.write("/etc/cdi/gpus.yaml", CDI.format(cdi="0.7.0", version=VERSION))


def cdi_of_an_older_driver(patient):
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.7.0", version=OLDER))


def cdi_without_libcuda(patient):
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.7.0", version=VERSION).replace("libcuda", "libodd"))


def cdi_names_what_is_gone(patient):
    patient.remove(f"/usr/lib/x86_64-linux-gnu/libcuda.so.{VERSION}")


def cdi_missing(patient):
    patient.remove("/run/cdi/nvidia.yaml")


def cdi_too_new_for_docker(patient):
    patient.engine.api["/version"] = {"Version": "25.0.3"}


def cdi_too_new_for_podman(patient):
    patient.podman()
    patient.say("podman_version", "podman version 4.9.3\n")


def docker_without_cdi(patient):
    patient.engine.api["/version"] = {"Version": "20.10.24+dfsg1"}
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.5.0", version=VERSION))


def cdi_that_nobody_reads(patient):
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi='"9.9.9"', version=VERSION))


def refresh_failed(patient):
    patient.units(service="failed", result="exit-code")


def refresh_off(patient):
    patient.units(path="inactive")


def runtime_lost(patient):
    patient.daemon({"log-driver": "json-file"})
    patient.engine.api["/info"] = {"Runtimes": {"runc": {}}, "CDISpecDirs": []}


def runtime_lost_until_the_next_start(patient):
    patient.daemon({"log-driver": "json-file"})


def docker_not_restarted(patient):
    patient.engine.api["/info"] = {"Runtimes": {"runc": {}}, "CDISpecDirs": None}


def docker_down(patient):
    from ansible.module_utils.doctor_engine import Silent

    patient.records["deepgram"]["containers"]["names"] = {}
    patient.engine.api = dict.fromkeys(
        ["/info", "/version", "/containers/deepgram-engine/json"], Silent("Docker does not answer: Connection refused")
    )


def daemon_json_malformed(patient):
    docker_down(patient)
    patient.daemon('{\n    "features": {"cdi": true},\n    "live-restore": true,,\n}\n')


def unknown_error(patient):
    patient.say("inside", "Failed to initialize NVML: Unknown Error\n", 255)


def unknown_error_podman(patient):
    patient.podman()
    unknown_error(patient)


def exec_hangs(patient):
    patient.say("inside", "", None, "docker: no answer in 30 s")


def engine_on_cpu(patient):
    patient.remove("/proc/4711/root/dev/nvidia0")
    patient.say("inside", 'exec: "nvidia-smi": executable file not found in $PATH\n', 127)


def engine_without_a_gpu_that_ends(patient):
    patient.container("engine", 0, "restarting", Restarting=True, ExitCode=1)
    patient.engine.api["/containers/deepgram-engine/json"]["HostConfig"] = {"DeviceRequests": None, "Runtime": "runc"}


def libcuda_missing_and_engine_ends(patient):
    cdi_without_libcuda(patient)
    patient.container("engine", 0, "restarting", Restarting=True, ExitCode=1)


def daemon_json_malformed_and_not_read_yet(patient):
    patient.daemon('{\n    "debug": true,,\n}\n')


def libcuda_missing(patient):
    patient.remove("/proc/4711/root/usr/lib/x86_64-linux-gnu/libcuda.so.1")


def engine_ended(patient):
    patient.container("engine", 0, "exited", ExitCode=137, Error="OOM")


def package_upgraded(patient):
    patient.package("libcuda1", f"{NEWER}-1", "hold")


def packages_apart_without_a_record(patient):
    package_upgraded(patient)
    patient.records.clear()


def tool_of_another_branch(patient):
    """The record has it so by now: only the driver beside it tells."""
    patient.package("nvidia-modprobe", "595.91.07-1")
    text = patient.programs.said("apt_policy").text + policy("nvidia-modprobe", "595.91.07-1")
    patient.say("apt_policy", text)


def package_removed(patient):
    patient.package("nvidia-persistenced", f"{VERSION}-1", "deinstall", "config-files")


def half_configured(patient):
    patient.package("libfoo", "1", status="half-configured")


def dpkg_killed(patient):
    patient.write("/var/lib/dpkg/updates/0001", "Package: x\n")


def unmet(patient):
    text = "Reading package lists...\nThe following packages have unmet dependencies:\n"
    text += (
        f" nvidia-driver-cuda : Depends: libcuda1 (= {VERSION}-1) but {NEWER}-1 is installed\nE: Unmet dependencies.\n"
    )
    patient.say("apt_check", text, 100)


def hold_lifted(patient):
    patient.package("nvidia-open", f"{VERSION}-1")


def nightly_upgrades(patient):
    patient.package("unattended-upgrades", "2.12")
    patient.package("libcuda1", f"{VERSION}-1")
    patient.say("apt_config", APT + 'APT::Periodic::Unattended-Upgrade "1";\n')


def distributions_packages(patient):
    patient.package("nvidia-alternative", "550.163.01-2")
    other = policy("nvidia-alternative", "550.163.01-2", "http://deb.debian.org/debian")
    patient.say("apt_policy", other + "".join(policy(name, f"{VERSION}-1") for name in DRIVER_PACKAGES[:3]))


def two_kernel_modules(patient):
    patient.package("nvidia-open-kernel-dkms", "550.163.01-2")
    patient.records.clear()


def other_source_would_be_taken(patient):
    patient.package("libcuda1", f"{VERSION}-1")
    patient.say(
        "apt_policy", policy("libcuda1", f"{VERSION}-1", candidate="590.48.01-1", other="http://deb.debian.org/debian")
    )


def one_repository_two_keys(patient):
    ours = f"Types: deb\nURIs: {NVIDIA_REPOSITORY}/\nSuites: /\nSigned-By: /etc/apt/keyrings/nvidia-driver.gpg\n"
    patient.write("/etc/apt/sources.list.d/nvidia-driver.sources", ours)
    theirs = f"deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] {NVIDIA_REPOSITORY}/ /\n"
    patient.write("/etc/apt/sources.list.d/cuda-debian13-x86_64.list", theirs)


def run_file(patient):
    patient.write("/usr/bin/nvidia-uninstall")


def clock_off(patient):
    patient.parameters["controller_time"] -= 86400


def mig(patient):
    patient.smi(smi_row(mig_mode_current="Enabled"))


def open_on_volta(patient):
    patient.gpu(A, "1db4")
    patient.say("smi", "No devices were found\n", 6)
    patient.log("NVRM: GPU 0000:3b:00.0: RmInitAdapter failed! (0x22:0x56:884)")


def open_on_volta_and_blackwell(patient):
    open_on_volta(patient)
    patient.gpu(B, "2901")
    patient.records["nvidia_driver"]["driver"]["gpus"] = [A, B]
    patient.smi(smi_row(1, B))


def proprietary_on_blackwell(patient):
    patient.gpu(A, "2901")
    patient.loaded(VERSION, PROPRIETARY)
    patient.module(VERSION, "NVIDIA")
    patient.say("smi", "No devices were found\n", 6)
    patient.log("NVRM: GPU 0000:3b:00.0: RmInitAdapter failed! (0x62:0x1a:2631)")


def half_width(patient):
    patient.smi(smi_row(pcie_link_width_current="8"))


def half_width_by_the_kernel(patient):
    patient.gpu(A, "1eb8", current_link_width="8", max_link_width="16")


def retirement_pending(patient):
    patient.smi(smi_row(retired_pages_pending="Yes"))


def remapping_pending(patient):
    patient.smi(smi_row(retired_pages_pending="[N/A]", remapped_rows_pending="Yes", remapped_rows_failure="No"))


def remapping_failed(patient):
    patient.smi(smi_row(retired_pages_pending="[N/A]", remapped_rows_pending="No", remapped_rows_failure="Yes"))


def ecc(patient):
    patient.smi(smi_row(ecc_errors_uncorrected_volatile_total="3"))


def recovery(patient):
    patient.smi(smi_row(gpu_recovery_action="Node Reboot Required"))


def hot(patient):
    patient.smi(smi_row(clocks_event_reasons_hw_slowdown="Active", clocks_event_reasons_hw_thermal_slowdown="Active"))


def power(patient):
    patient.smi(smi_row(clocks_event_reasons_hw_slowdown="Active"))


def not_persistent(patient):
    patient.smi(smi_row(persistence_mode="Disabled"))


def xid_79(patient):
    patient.log("NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.")


def xid_of_old_spelling(patient):
    patient.log("NVRM: Xid (0000:3b:00): 48, Double Bit ECC Error")


def foreign_key(patient):
    line = "deb [signed-by=/etc/apt/keyrings/none.gpg] https://x.example/debian trixie main\n"
    patient.write("/etc/apt/sources.list.d/x.list", line)


# change: {check that fails: a word of the cure}
SICK = {
    library_mismatch: {"driver versions": "dgctl provision"},
    module_gone: {"driver versions": "dgctl provision"},
    driver_gone: {"driver versions": "dgctl provision"},
    next_kernel_without_module: {"module for next kernel": "dkms autoinstall -k 99.1.0-10-amd64"},
    first_boot_entry_without_module: {"module for next kernel": "dkms autoinstall -k 99.1.0-9-amd64"},
    nouveau: {"driver versions": "", "nouveau": "dgctl provision"},
    nova: {"driver versions": "", "nouveau": "modprobe -r nouveau nova_core"},
    key_rejected: {"driver versions": "", "secure boot": "mokutil --import /var/lib/dkms/mok.pub"},
    key_rejected_without_mokutil: {"driver versions": "", "secure boot": "mokutil --import"},
    off_the_bus: {"gpu answers": "reboot", "xid": "reboot"},
    one_of_two_off_the_bus: {"gpu answers": "reboot"},
    smi_hangs: {"gpu answers": "reboot"},
    needs_reset: {"gpu answers": "reboot"},
    gpu_missing: {"gpu count": "reseat"},
    fewer_than_said: {"gpu count": "reseat"},
    fabric_manager_missing: {"fabric manager": "dgctl provision"},
    fabric_manager_of_another_version: {"fabric manager": "dgctl provision"},
    fabric_manager_stopped: {"fabric manager": "systemctl enable --now nvidia-fabricmanager"},
    fabric_not_trained: {"fabric manager": "systemctl restart nvidia-fabricmanager"},
    toolkit_versions: {"toolkit versions": "dgctl provision", "package versions": "dgctl provision", "holds": ""},
    cdi_stale: {"cdi specifications": "rm /etc/cdi/nvidia.yaml"},
    cdi_second: {"cdi specifications": "rm /etc/cdi/gpus.yaml"},
    cdi_of_an_older_driver: {"cdi specifications": "systemctl restart nvidia-cdi-refresh"},
    cdi_without_libcuda: {"cdi specifications": "systemctl restart nvidia-cdi-refresh"},
    cdi_names_what_is_gone: {"cdi specifications": "systemctl restart nvidia-cdi-refresh"},
    cdi_missing: {"cdi specifications": "systemctl restart nvidia-cdi-refresh"},
    cdi_too_new_for_docker: {"cdi version": "dgctl provision"},
    cdi_too_new_for_podman: {"cdi version": "dgctl provision"},
    docker_without_cdi: {"cdi version": "upgrade docker"},
    cdi_that_nobody_reads: {"cdi version": "systemctl restart nvidia-cdi-refresh"},
    refresh_failed: {"cdi refresh": "systemctl restart nvidia-cdi-refresh"},
    refresh_off: {"cdi refresh": "systemctl enable --now nvidia-cdi-refresh.path"},
    runtime_lost: {"docker runtime": "dgctl provision"},
    runtime_lost_until_the_next_start: {"docker runtime": "dgctl provision"},
    docker_not_restarted: {"docker runtime": "systemctl restart docker"},
    docker_down: {"docker runtime": "journalctl -u docker"},
    daemon_json_malformed: {"daemon.json": "systemctl restart docker"},
    unknown_error: {"gpu in containers": "docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate engine"},
    unknown_error_podman: {"gpu in containers": "systemctl restart deepgram-engine.service"},
    exec_hangs: {"gpu in containers": "force-recreate engine"},
    engine_on_cpu: {"engine on gpu": "force-recreate engine"},
    engine_without_a_gpu_that_ends: {"containers": "docker logs", "engine on gpu": "force-recreate engine"},
    libcuda_missing_and_engine_ends: {
        "containers": "docker logs",
        "cdi specifications": "systemctl restart nvidia-cdi-refresh",
        "libcuda in containers": "systemctl restart nvidia-cdi-refresh.service; docker compose",
    },
    daemon_json_malformed_and_not_read_yet: {"daemon.json": "systemctl restart docker"},
    libcuda_missing: {"libcuda in containers": "systemctl restart nvidia-cdi-refresh.service; docker compose"},
    engine_ended: {"containers": "docker logs --tail 50 deepgram-engine"},
    package_upgraded: {"package versions": f"libcuda1={VERSION}-1"},
    packages_apart_without_a_record: {"package versions": "dgctl provision --full"},
    tool_of_another_branch: {"package versions": "dgctl provision --full"},
    package_removed: {"package versions": f"nvidia-persistenced={VERSION}-1"},
    half_configured: {"package state": "dpkg --configure -a"},
    dpkg_killed: {"package state": "dpkg --configure -a"},
    unmet: {"package state": "apt-get --fix-broken install"},
    hold_lifted: {"holds": "apt-mark hold nvidia-open"},
    nightly_upgrades: {"holds": "apt-mark hold libcuda1", "unattended upgrades": "dgctl provision --full"},
    distributions_packages: {"driver sources": "apt-get purge nvidia-alternative"},
    two_kernel_modules: {"driver sources": "apt-get purge"},
    other_source_would_be_taken: {"driver sources": "apt-get purge", "holds": ""},
    one_repository_two_keys: {
        "driver sources": "rm /etc/apt/sources.list.d/cuda-debian13-x86_64.list",
        "repositories": "publishes",
    },
    run_file: {"driver leftovers": "/usr/bin/nvidia-uninstall --silent"},
    clock_off: {"clock": "timedatectl set-ntp true"},
    mig: {"mig": "nvidia-smi -i 0 -mig 0"},
    open_on_volta_and_blackwell: {"module flavour": "no driver drives all of these GPUs"},
    open_on_volta: {"module flavour": "nvidia_driver_kernel_module: proprietary"},
    proprietary_on_blackwell: {"module flavour": "nvidia_driver_kernel_module: open"},
    half_width: {"pcie link": "reseat"},
    half_width_by_the_kernel: {"pcie link": "reseat"},
    retirement_pending: {"gpu memory": "nvidia-smi --gpu-reset -i 0"},
    remapping_pending: {"gpu memory": "nvidia-smi --gpu-reset -i 0"},
    remapping_failed: {"gpu memory": "replace the GPU"},
    ecc: {"ecc errors": "nvidia-smi --gpu-reset -i 0"},
    recovery: {"gpu recovery": "reboot"},
    hot: {"gpu slowdown": "fans"},
    power: {"gpu slowdown": "power supplies"},
    not_persistent: {"persistence": "systemctl restart nvidia-persistenced"},
    xid_79: {"xid": "reboot"},
    xid_of_old_spelling: {"xid": "reboot"},
    foreign_key: {"repositories": "/etc/apt/keyrings/none.gpg"},
}


@pytest.mark.parametrize("change", SICK, ids=lambda change: change.__name__)
def test_is_called_by_its_name(patient, change):
    change(patient)
    found = patient.findings()
    failed = {name for name, one in found.items() if one["verdict"] == "fail"}
    assert failed == set(SICK[change]), patient.sick()
    for name, cure in SICK[change].items():
        one = found[name]
        assert cure in one["fix"] and one["fix"], one
        assert one["cause"] and one["seen"] and one["expected"], one
        assert all("\n" not in text for text in one.values())


def test_every_check_has_a_sickness_here():
    named = {name for failing in SICK.values() for name in failing}
    elsewhere = {"disk", "package lock"}  # test_machine.py
    never = {"reboot", "driver support"}
    assert {check.name for check in doctor.CHECKS} - elsewhere - never == named


def test_the_cause_leads_to_the_check_that_knows(patient):
    nouveau(patient)
    assert "see nouveau" in patient.findings()["driver versions"]["cause"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (key_rejected, "see secure boot"),
        (daemon_json_malformed, "3"),
        (off_the_bus, "fell off the bus"),
        (package_upgraded, "unattended upgrade"),
    ],
)
def test_causes(patient, change, words):
    change(patient)
    texts = [one.get("cause", "") + one["seen"] for one in patient.findings().values() if one["verdict"] == "fail"]
    assert any(words in text for text in texts), texts


def test_daemon_json_says_where(patient):
    daemon_json_malformed(patient)
    found = patient.findings()["daemon.json"]
    assert "line 3 column 26" in found["seen"] and '"live-restore": true,,' in found["cause"]


def test_what_is_switched_off_is_not_asked(patient):
    patient.parameters |= {"hold": False, "persistence": False}
    hold_lifted(patient)
    not_persistent(patient)
    assert patient.sick() == {}


def test_one_that_does_not_know_a_field_is_asked_for_the_others(patient):
    fields = [field for field in doctor_smi.FIELDS if field != "gpu_recovery_action"]
    row = dict(zip(doctor_smi.FIELDS, smi_row(persistence_mode="Disabled").split(", "), strict=True))
    patient.say("smi", 'Field "gpu_recovery_action" is not a valid field to query.\n', 2)
    patient.say("smi_fields", "".join(f'"{field}"\n' for field in fields))
    patient.say("smi_again", ", ".join(row[field] for field in fields) + "\n")
    assert set(patient.sick()) == {"persistence"}


def test_blacklisted_packages_need_no_hold(patient):
    nightly_upgrades(patient)
    patient.say("apt_config", APT + BLACKLIST + 'APT::Periodic::Unattended-Upgrade "1";\n')
    assert set(patient.sick()) == {"holds"}


def test_open_is_the_flavour_by_the_loaded_module(patient):
    patient.gpu(A, "2901")
    patient.module(VERSION, "NVIDIA")
    patient.loaded(VERSION, OPEN)
    assert "module flavour" not in patient.sick()
    patient.daemon(DAEMON)


def test_a_branch_past_its_end_is_told(patient):
    for be in (patient.loaded, patient.module, patient.library):
        be("535.309.01")
    found = patient.findings()["driver support"]
    assert found["verdict"] == "skip" and "its support ended in 2026-06" in found["seen"]
    assert "580 to 2028-06" in found["fix"]
    patient.parameters["driver_source"] = "distribution"
    assert patient.findings()["driver support"]["verdict"] == "pass"
