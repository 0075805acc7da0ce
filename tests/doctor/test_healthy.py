"""No healthy host is called unhealthy, however unlike the usual one it is."""

import json

import pytest

from tests.doctor.patient import (
    APT,
    CDI,
    DAEMON,
    DRIVER_PACKAGES,
    KERNEL,
    PROPRIETARY,
    VERSION,
    A,
    B,
    policy,
    smi_row,
)


def several_gpus(patient):
    patient.gpu(B, "1eb8")
    patient.smi(smi_row(), smi_row(1, B))
    patient.records["nvidia_driver"]["driver"]["gpus"] = [A, B]


def one_gpu_more(patient):
    several_gpus(patient)
    patient.records["nvidia_driver"]["driver"]["gpus"] = [A]


def hopper(patient):
    patient.gpu(A, "2330")
    patient.smi(smi_row(name="NVIDIA H100 80GB HBM3", retired_pages_pending="[N/A]", remapped_rows_pending="No",
                        remapped_rows_failure="No", mig_mode_current="Disabled", fabric_state="[N/A]"))  # fmt: skip


def board(patient):
    hopper(patient)
    patient.smi(smi_row(name="NVIDIA H100 80GB HBM3", fabric_state="Completed", fabric_status="Success"))
    patient.gpu("0000:05:00.0", "22a3", kind="0x068000")
    patient.package("nvidia-fabricmanager", f"{VERSION}-1", "hold")
    patient.units(**{"nvidia-fabricmanager": "active"})


def board_that_just_booted(patient):
    board(patient)
    patient.smi(smi_row(fabric_state="In Progress", fabric_status="N/A"))
    patient.write("/proc/uptime", "65.10 12.00\n")


def blackwell(patient):
    patient.gpu(A, "2901")


def volta_proprietary(patient):
    patient.gpu(A, "1db4")
    patient.loaded(VERSION, PROPRIETARY)
    patient.module(VERSION, "NVIDIA")


def unknown_gpu(patient):
    patient.gpu(A, "ffff")


def older_smi(patient):
    """It does not know two of the fields."""
    from ansible.module_utils.doctor import smi as doctor_smi

    fields = [field for field in doctor_smi.FIELDS if field not in ("gpu_recovery_action", "fabric.status")]
    row = dict(zip(doctor_smi.FIELDS, smi_row().split(", ")))
    patient.say("smi", 'Field "gpu_recovery_action" is not a valid field to query.\n', 2)
    patient.say("smi_fields", "".join(f'"{field}"\nWhat it is.\n\n' for field in fields))
    patient.say("smi_again", ", ".join(row[field] for field in fields) + "\n")


def bridge(patient):
    """A card of sixteen lanes in a slot of eight, which is as fast as it can be."""
    patient.smi(smi_row(pcie_link_width_current="8", pcie_link_width_max="8"))
    patient.gpu(A, "1eb8", current_link_width="8", max_link_width="16")


def port_of_eight_lanes(patient):
    place = patient.root / "sys/bus/pci/devices"
    real = patient.root / "sys/devices/pci0000:3a/0000:3a:00.0"
    patient.gpu(A, "1eb8", current_link_width="8", max_link_width="16")
    real.mkdir(parents=True)
    (place / A).rename(real / A)
    (place / A).symlink_to(real / A)
    (real / "max_link_width").write_text("8\n")
    patient.smi(smi_row(pcie_link_width_current="[N/A]", pcie_link_width_max="[N/A]"))


def newer_kernel_with_module(patient):
    patient.kernel("99.1.0-10-amd64", module=True)
    patient.kernel("99.1.0-9-amd64", module=False)


def rescue_kernel(patient):
    patient.write("/boot/vmlinuz-0-rescue-1234")
    patient.write("/lib/modules/0-rescue-1234/modules.dep")
    patient.write(f"/boot/vmlinuz-{KERNEL}")


def boot_entry_is_the_older_kernel(patient):
    patient.kernel("99.1.0-9-amd64", module=True)
    patient.kernel("99.1.0-10-amd64", module=False)
    entry = "menuentry x {\n\tlinux\t/boot/vmlinuz-99.1.0-9-amd64 root=/dev/sda\n}\n"
    patient.write("/boot/grub/grub.cfg", 'set default="0"\n' + entry)


def secure_boot_that_took_the_module(patient):
    patient.say("secure_boot", "SecureBoot enabled\n")
    patient.say("enrolled", "")


def other_version(patient, version="580.178.04", **module):
    for be in (patient.loaded, patient.library):
        be(version)
    patient.module(version, **module)
    patient.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.7.0", version=version))
    patient.write(f"/usr/lib/x86_64-linux-gnu/libcuda.so.{version}")


def secure_boot_enrolled(patient):
    secure_boot_that_took_the_module(patient)
    patient.say("enrolled", "[key 1]\nSubject: CN=DKMS module signing key\n")
    other_version(patient)


def signed_by_the_distribution(patient):
    patient.say("secure_boot", "SecureBoot enabled\n")
    other_version(patient, signer="Canonical Ltd. Kernel Module Signing")
    key = "asymmetri Canonical Ltd. Kernel Module Signing: 88f752: X509.rsa"
    patient.write("/proc/keys", f"1 I------ 1 perm 1f030000 0 0 {key}\n")


def secure_boot_off_by_its_variable(patient):
    patient.write("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\x06\x00\x00\x00\x00")


def cdi_in_etc_alone(patient):
    patient.remove("/run/cdi/nvidia.yaml")
    patient.write("/etc/cdi/nvidia.yaml", CDI.format(cdi="0.5.0", version=VERSION))


def cdi_of_other_vendors(patient):
    patient.write("/etc/cdi/amd.yaml", "cdiVersion: 0.6.0\nkind: amd.com/gpu\n")
    patient.write("/etc/cdi/gds.yaml", "cdiVersion: 0.6.0\nkind: nvidia.com/gds\n")
    patient.write("/etc/cdi/nvidia.yaml.replaced-by-nvidia-cdi-refresh", CDI.format(cdi="0.5.0", version="570.1.2"))


def cdi_as_json(patient):
    patient.remove("/run/cdi/nvidia.yaml")
    mount = {"hostPath": f"/usr/lib/x86_64-linux-gnu/libcuda.so.{VERSION}"}
    text = json.dumps({"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "containerEdits": {"mounts": [mount]}})
    patient.write("/run/cdi/nvidia.json", text)


def docker_with_cdi_by_default(patient):
    patient.daemon({"runtimes": DAEMON["runtimes"]})
    patient.engine.api["/version"] = {"Version": "29.1.4"}


def no_daemon_json_and_no_toolkit(patient):
    patient.remove("/etc/docker/daemon.json")
    patient.remove("/usr/bin/nvidia-ctk")
    del patient.records["nvidia_container_toolkit"]


def other_packages_upgraded(patient):
    patient.package("docker.io", "26.1.9")
    patient.package("libnvidia-container-go", "1.99")
    patient.package("nvidia-settings", "535.171.04-1")
    patient.package("nvidia-modprobe", "535.171.04-1")
    patient.package("libnvidia-egl-wayland1", "1:1.1.18-1")
    patient.package("removed", "1", "deinstall", "config-files")


def distributions_driver_in_another_component(patient):
    """Debian's own, older driver is on offer too, and nothing would take it."""
    offers = f" *** {VERSION}-1 1000\n       1000 https://n  Packages\n        100 /var/lib/dpkg/status\n     550.163.01-2 500\n"
    offers += "        500 http://deb.debian.org/debian trixie/non-free amd64 Packages\n"
    head = f"nvidia-driver:\n  Installed: {VERSION}-1\n  Candidate: {VERSION}-1\n  Version table:\n"
    patient.say("apt_policy", head + offers)


def repository_that_dropped_the_version(patient):
    patient.say("apt_policy", "".join(policy(name, f"{VERSION}-1", "") for name in DRIVER_PACKAGES))


def distributions_driver_partly_from_its_security_archive(patient):
    """Of one release, and tools with releases of their own: that is how Debian has it."""
    origins = dict.fromkeys(DRIVER_PACKAGES, "http://security.debian.org/debian-security")
    origins["libcuda1"] = "http://deb.debian.org/debian"
    patient.package("nvidia-modprobe", "535.171.04-1")
    blocks = [policy(name, f"{VERSION}-1", origin) for name, origin in origins.items()]
    patient.say(
        "apt_policy", "".join(blocks) + policy("nvidia-modprobe", "535.171.04-1", "http://deb.debian.org/debian")
    )


def held_though_another_source_has_more(patient):
    patient.say(
        "apt_policy", policy("libcuda1", f"{VERSION}-1", candidate="590.1-1", other="http://deb.debian.org/debian")
    )


def upgrades_by_night(patient):
    patient.package("unattended-upgrades", "2.12")
    patient.say("apt_config", APT + 'APT::Periodic::Unattended-Upgrade "1";\n')  # the holds keep it off


def reboot_is_due(patient):
    patient.write("/run/reboot-required", "*** System restart required ***\n")
    patient.write("/run/reboot-required.pkgs", "linux-image-6.12.50\nlibc6\n")


def no_dmesg(patient):
    patient.say("log", "dmesg: read kernel buffer failed: Operation not permitted\n", 1)


def podman(patient):
    patient.podman()


def without_an_engine(patient):
    patient.parameters["gpu"] = False
    for name in ("smi", "modinfo", "log", "units", "apt_policy", "inside engine"):
        del patient.programs.answers[name]
    patient.remove(f"/sys/bus/pci/devices/{A}")


def without_a_package_manager(patient):
    patient.remove("/var/lib/dpkg/status")


def without_records(patient):
    patient.records.clear()


def never_provisioned(patient):
    without_records(patient)
    for path in (
        "/run/cdi/nvidia.yaml",
        "/usr/bin/nvidia-ctk",
        f"/lib/modules/{KERNEL}/modules.dep",
        "/etc/docker/daemon.json",
    ):
        patient.remove(path)
    patient.loaded("")
    patient.module("")
    patient.remove("/usr/lib/x86_64-linux-gnu")
    patient.packages.clear()
    patient.package("bash", "5")
    patient.say("smi", "", None, "nvidia-smi: No such file or directory")
    for name in ("units", "apt_policy", "inside engine"):
        patient.say(name, "", 1)
    patient.engine.api.clear()


def engine_container_that_ended(patient):
    """A check of its own says so; those that look into it have nothing to say."""
    patient.records["deepgram"]["containers"]["names"] = {}
    patient.container("engine", 0, "exited")


def image_without_nvidia_smi(patient):
    patient.say(
        "inside engine",
        'OCI runtime exec failed: exec failed: exec: "nvidia-smi": executable file not found in $PATH\n',
        127,
    )


def library_elsewhere_in_the_container(patient):
    patient.remove("/proc/4711/root/usr/lib")
    patient.write("/proc/4711/maps", "7f00-7f01 r-xp 0 00:00 1 /opt/odd/libcuda.so.580.173.02\n")


HEALTHY = [
    *(
        several_gpus,
        one_gpu_more,
        hopper,
        board,
        board_that_just_booted,
        blackwell,
        volta_proprietary,
        unknown_gpu,
        older_smi,
    ),
    *(bridge, port_of_eight_lanes, newer_kernel_with_module, rescue_kernel, boot_entry_is_the_older_kernel),
    *(
        secure_boot_that_took_the_module,
        secure_boot_enrolled,
        signed_by_the_distribution,
        secure_boot_off_by_its_variable,
    ),
    *(cdi_in_etc_alone, cdi_of_other_vendors, cdi_as_json, docker_with_cdi_by_default, no_daemon_json_and_no_toolkit),
    *(other_packages_upgraded, distributions_driver_in_another_component, repository_that_dropped_the_version),
    distributions_driver_partly_from_its_security_archive,
    *(held_though_another_source_has_more, upgrades_by_night, reboot_is_due, no_dmesg, podman, without_an_engine),
    *(
        without_a_package_manager,
        without_records,
        never_provisioned,
        engine_container_that_ended,
        image_without_nvidia_smi,
    ),
    library_elsewhere_in_the_container,
]


def board_whose_systemd_is_slow(patient):
    board(patient)
    patient.say("units", "", None, "systemctl: no answer in 20 s")


def api_that_waits_for_its_engine(patient):
    patient.api("Initializing")


def api_that_does_not_answer_yet(patient):
    patient.api(why="does not answer: [Errno 111] Connection refused")


def proxy_whose_api_is_busy(patient):
    patient.proxy("nobody", "HTTP 503: no API takes requests")
    patient.api("Healthy", active=7)


HEALTHY.append(proxy_whose_api_is_busy)


def api_that_answers_something_else(patient):
    patient.api(status=404)


HEALTHY += [board_whose_systemd_is_slow, api_that_waits_for_its_engine, api_that_does_not_answer_yet]
HEALTHY.append(api_that_answers_something_else)


@pytest.mark.parametrize(
    "name", ["modinfo", "log", "apt_check", "apt_config", "apt_policy", "units", "secure_boot", "enrolled"]
)
def test_a_program_that_is_slow_is_no_fault(patient, name):
    patient.say(name, "", None, f"{name}: no answer in 8 s")
    assert patient.failing() == {}


def test_the_usual_host(patient):
    found = patient.findings()
    assert patient.failing() == {}
    # What this machine cannot tell of a made-up host, and what is of a proxy or License Proxy of its own.
    skipped = {name for name, one in found.items() if one["verdict"] == "skip"}
    assert skipped == {
        "repositories",
        "license proxy",
        "upstreams",
        "upstreams watched",
        "certificate renewal",
        "upload buffer",
    }
    assert set(found["mig"]) == {"check", "verdict", "seen", "expected", "fix"}


@pytest.mark.parametrize("change", HEALTHY, ids=lambda change: change.__name__)
def test_is_called_healthy(patient, change):
    change(patient)
    assert patient.failing() == {}


def test_no_check_breaks_on_an_empty_host(patient, tmp_path):
    """A check that raises is skipped, so it would not show as a failure: here it must."""
    for change in HEALTHY:
        one = type(patient)(tmp_path / change.__name__)
        change(one)
        broken = {
            name: found["seen"] for name, found in one.findings().items() if "cannot be inspected" in found["seen"]
        }
        assert broken == {}, change.__name__
