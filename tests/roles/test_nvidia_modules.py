"""Loading the driver, its clients, its persistence daemon, its state, and the CDI file."""

import os
import platform

import nvidia_cdi
import nvidia_driver_load
import nvidia_persistence
import pytest
from ansible.module_utils import gpu_clients, kernel, nvidia_host

ID = "0123456789abcdef" * 4
OUTER = "fedcba9876543210" * 4


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        (f"0::/system.slice/docker-{ID}.scope", ("container", ID)),
        (f"12:devices:/docker/{ID}\n1:name=systemd:/docker/{ID}", ("container", ID)),
        (f"0::/docker/{OUTER}/system.slice/docker-{ID}.scope", ("container", ID)),
        (f"0::/docker/{OUTER}/system.slice/nvidia-persistenced.service", ("unit", "nvidia-persistenced.service")),
        (f"0::/system.slice/deepgram-engine.service/libpod-payload-{ID}", ("unit", "deepgram-engine.service")),
        ("0::/user.slice/user-1000.slice/session-3.scope", ("", "")),
    ],
)
def test_owner_of_a_process(cgroup, expected):
    assert gpu_clients.owner(cgroup) == expected


def test_clients(tmp_path, program):
    program("docker", f"echo {ID}\n")
    for pid, device, cgroup in [
        ("10", "/dev/nvidia0", f"0::/system.slice/docker-{ID}.scope"),
        ("11", "/dev/nvidiactl", "0::/system.slice/nvidia-persistenced.service"),
        ("12", "/dev/nvidia-uvm", "0::/user.slice/session-3.scope"),
        ("13", "/dev/null", "0::/system.slice/ssh.service"),
        ("14", "/dev/nvidia0", f"0::/docker/{OUTER}"),
    ]:
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "fd/3").symlink_to(device)
        (tmp_path / pid / "cgroup").write_text(cgroup + "\n")
        (tmp_path / pid / "comm").write_text("python\n")
    assert gpu_clients.clients(str(tmp_path)) == (
        [ID],
        ["nvidia-persistenced.service"],
        ["python (pid 12)", "python (pid 14)"],
    )


class Kernel:
    """A kernel with modules; the installed driver is what modprobe loads."""

    def __init__(self, monkeypatch, loaded="", installed="580.173.02", clients=((), (), ()), stuck=(), error=""):
        self.modules = {"nvidia": loaded, "nvidia_uvm": loaded} if loaded else {}
        self.installed, self.stuck, self.error, self.log = installed, stuck, error, []
        self.stale, self.library, self.gpus = False, "", 1
        monkeypatch.setattr(nvidia_driver_load, "run", self.run)
        monkeypatch.setattr(nvidia_driver_load, "loaded_version", lambda: self.modules.get("nvidia", ""))
        monkeypatch.setattr(nvidia_driver_load, "module_loaded", lambda name: name in self.modules)
        monkeypatch.setattr(nvidia_driver_load, "module_file_version", lambda: self.installed)
        monkeypatch.setattr(nvidia_driver_load, "initramfs_stale", lambda *_: self.stale)
        monkeypatch.setattr(nvidia_driver_load, "library_version", lambda: self.library or self.installed)
        monkeypatch.setattr(nvidia_driver_load, "pci_gpus", lambda: [{"address": "0000:3b:00.0"}] * self.gpus)
        monkeypatch.setattr(nvidia_driver_load, "smi_gpus", lambda: ([{"driver_version": self.modules["nvidia"]}], ""))
        package = {"version": f"{installed}-1", "held": True, "status": "installed"}
        monkeypatch.setattr(
            nvidia_driver_load.package_manager, "installed", lambda: {"nvidia-open": package["version"]}
        )
        monkeypatch.setattr(gpu_clients, "clients", lambda: tuple(map(list, clients)))
        monkeypatch.setattr(gpu_clients, "active", lambda units: [u for u in units if "persistenced" in u])
        for verb in ("stop", "start"):
            monkeypatch.setattr(gpu_clients, verb, lambda *names, verb=verb: self.log.append((verb, *names)) or "")

    def run(self, argv, timeout=0):
        self.log.append(" ".join(argv))
        if argv[:2] == ["modprobe", "-r"]:
            if argv[2] in self.stuck:
                return 1, "", f"modprobe: FATAL: Module {argv[2]} is in use."
            self.modules.pop(argv[2])
        elif argv[0] == "modprobe":
            if self.error:
                return 1, "", self.error + "\nmodprobe: more words\n" * ("Exec" not in self.error)
            self.modules[argv[1].replace("-", "_")] = self.installed
        return 0, "", ""


def load(call, check=False):
    return call("nvidia_driver_load", version="580.173.02", check=check)


def test_loaded_already(call, monkeypatch):
    kernel = Kernel(monkeypatch, loaded="580.173.02")
    assert not load(call)["changed"] and kernel.log == []


def test_first_load_unloads_nouveau(call, monkeypatch):
    kernel = Kernel(monkeypatch)
    kernel.modules["nouveau"] = "x"
    result = load(call)
    assert result["changed"] and result["loaded_version"] == "580.173.02" and "nouveau" not in kernel.modules


def test_nouveau_in_use_needs_a_reboot(call, monkeypatch):
    kernel = Kernel(monkeypatch, stuck=["nouveau"])
    kernel.modules["nouveau"] = "x"
    assert "nouveau" in load(call)["reboot_needed"]


def test_reload_stops_unloads_in_order_loads_and_starts(call, monkeypatch):
    kernel = Kernel(monkeypatch, loaded="580.95.05", clients=([ID], ["engine.service"], []))
    assert load(call)["reboot_needed"] == ""
    units = ["engine.service", "nvidia-persistenced.service"]
    assert kernel.log[0] == ("stop", [ID], units) and kernel.log[-1] == ("start", [ID], units)
    order = [entry for entry in kernel.log if isinstance(entry, str)]
    assert order.index("modprobe -r nvidia_uvm") < order.index("modprobe -r nvidia") < order.index("modprobe nvidia")
    assert order.index("modprobe nvidia") < order.index("systemctl restart nvidia-cdi-refresh.service")


def test_module_that_stays_needs_a_reboot_and_clients_run_again(call, monkeypatch):
    kernel = Kernel(monkeypatch, loaded="580.95.05", clients=([ID], [], []), stuck=["nvidia"])
    result = load(call)
    assert "in use" in result["reboot_needed"] and kernel.log[-1][0] == "start"


def test_program_of_nobody_is_not_killed(call, monkeypatch):
    kernel = Kernel(monkeypatch, loaded="580.95.05", clients=([], [], ["python (pid 7)"]))
    assert "python (pid 7)" in load(call)["reboot_needed"] and kernel.log == []


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("modprobe: ERROR: could not insert 'nvidia': Key was rejected by service", "mokutil"),
        ("modprobe: ERROR: could not insert 'nvidia': No such device", "NVRM"),
        ("modprobe: ERROR: could not insert 'nvidia': Exec format error", "dmesg"),
        ("modprobe: FATAL: Module nvidia not found in directory /lib/modules/6.12", "headers"),
    ],
)
def test_module_that_does_not_load(call, monkeypatch, error, hint):
    Kernel(monkeypatch, error=error)
    result = load(call)
    assert result["failed"] and error in result["msg"] and hint in result["fix"]


def test_other_version_on_disk(call, monkeypatch):
    Kernel(monkeypatch, installed="570.1.2")
    result = load(call)
    assert result["failed"] and result["value"] == "570.1.2" and "dkms autoinstall" in result["fix"]


def test_check_mode_touches_nothing(call, monkeypatch):
    kernel = Kernel(monkeypatch, loaded="580.95.05")
    assert load(call, check=True)["changed"] and kernel.log == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"library": "570.1.2"}, "library 570.1.2, nvidia-smi shows 1 of 1 GPUs"),
        ({"gpus": 2}, "nvidia-smi shows 1 of 2 GPUs"),
    ],
)
def test_driver_that_is_not_coherent(call, monkeypatch, fault, words):
    vars(Kernel(monkeypatch, loaded="580.173.02")).update(fault)
    result = load(call)
    assert result["failed"] and words in result["msg"] and "dmesg" in result["fix"]
    assert "failed" not in load(call, check=True)


def test_initramfs_that_would_load_nouveau_is_rebuilt(call, monkeypatch):
    kernel = Kernel(monkeypatch, loaded="580.173.02")
    kernel.stale = True
    assert load(call, check=True)["changed"] and kernel.log == []
    monkeypatch.setattr(nvidia_driver_load, "rebuild_initramfs", lambda: ("update-initramfs -u", ""))
    assert load(call)["changed"]
    monkeypatch.setattr(nvidia_driver_load, "rebuild_initramfs", lambda: ("dracut --force", "No space left"))
    refused = load(call)
    assert "No space left" in refused["msg"] and "Run dracut --force on the host" in refused["fix"]


@pytest.mark.parametrize(
    ("image", "made"),
    [
        ("initrd.img-{}", ["update-initramfs -u -k {}"]),
        ("initramfs-{}.img", ["dracut --force --kver {}", "grubby --update-kernel=ALL --args={}"]),
    ],
)
def test_initramfs_is_made_by_the_system_s_own_program(tmp_path, program, image, made):
    release = platform.release()
    (tmp_path / image.format(release)).touch()
    for name in ("update-initramfs", "dracut", "grubby"):
        program(name, f"echo {name} $* >> {tmp_path}/log\n")
    assert kernel.rebuild_initramfs(str(tmp_path))[1] == ""
    arguments = "rd.driver.blacklist=nouveau,nova_core modprobe.blacklist=nouveau,nova_core"
    wanted = [line.format(arguments if "grubby" in line else release) for line in made]
    assert (tmp_path / "log").read_text().splitlines() == wanted
    program(made[-1].split()[0], "echo 'full' >&2; exit 1\n")
    assert kernel.rebuild_initramfs(str(tmp_path))[1] == "full"


def test_initramfs_is_stale_while_it_holds_nouveau_and_is_older_than_the_blacklist(tmp_path, program):
    blacklist, image = tmp_path / "blacklist.conf", tmp_path / f"initrd.img-{platform.release()}"
    program("lsinitramfs", "echo usr/lib/modules/6.12/nouveau.ko.xz\n")

    def stale(module="nouveau"):
        return kernel.initramfs_stale(module, str(blacklist), str(tmp_path))

    assert not stale()
    image.touch()
    assert stale() and not stale("nova_core")
    blacklist.touch()
    os.utime(blacklist, (1, 1))
    assert not stale()
    os.utime(image, (0, 0))
    assert stale()


def test_headers_for_running_and_coming_kernels(monkeypatch):
    installed = ["linux-image-amd64", "linux-image-6.12.48+deb13-amd64", "linux-image-cloud-amd64", "sed"]
    known = {name: {"version": "1", "held": False, "status": "installed"} for name in installed}
    monkeypatch.setattr(kernel.os.path, "isdir", lambda path: False)
    assert kernel.headers(known, "6.12.48+deb13-amd64") == [
        "linux-headers-6.12.48+deb13-amd64", "linux-headers-amd64", "linux-headers-cloud-amd64",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("installed", "flavours"),
    [
        (["linux-image-amd64", "linux-image-6.1.0-40-amd64", "linux-image-amd64-dbg"], ["amd64"]),
        (["linux-image-cloud-amd64", "linux-image-rt-amd64"], ["cloud-amd64", "rt-amd64"]),
        (["linux-image-generic-hwe-24.04", "linux-image-6.17.0-8-generic"], ["generic-hwe-24.04"]),
        (["linux-image-aws-6.8", "linux-image-unsigned-6.8.0-1015-aws", "linux-image-extra-virtual"], ["aws-6.8"]),
    ],
)
def test_flavours_of_the_kernels_to_come(installed, flavours):
    known = {name: {"version": "1", "held": False, "status": "installed"} for name in installed}
    assert kernel.flavours(known) == flavours
    assert kernel.modules("", known, "6.8.0-45-generic") == []


def test_smi_output(program):
    program("nvidia-smi", "echo 'Tesla T4, GPU-1, 00000000:3B:00.0, 580.173.02, 15360, Enabled, [N/A]'\n")
    (card,), error = nvidia_host.smi_gpus()
    assert (card["name"], card["driver_version"], card["memory.total"], error) == (
        "Tesla T4",
        "580.173.02",
        "15360",
        "",
    )
    program("nvidia-smi", "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18\n")
    assert nvidia_host.smi_gpus() == ([], "Failed to initialize NVML: Driver/library version mismatch")


UNIT = "[Service]\nType=forking\nExecStart=/usr/bin/nvidia-persistenced --user nvpd --no-persistence-mode --verbose\n"


def test_drop_in_keeps_the_packaged_command():
    text = nvidia_persistence.drop_in(UNIT, True)
    assert text.endswith(
        "ExecStart=\nExecStart=/usr/bin/nvidia-persistenced --user nvpd --persistence-mode --verbose\n"
    )
    assert nvidia_persistence.drop_in(UNIT, False) == ""
    assert nvidia_persistence.drop_in(UNIT.replace("--no-persistence-mode ", ""), True) == ""


def test_drop_in_is_written_and_taken_away(tmp_path):
    path = str(tmp_path / "x.service.d/50.conf")
    text = nvidia_persistence.drop_in(UNIT, True)
    assert [nvidia_persistence.write(text, path) for _ in range(2)] == [True, False]
    assert [nvidia_persistence.write("", path) for _ in range(2)] == [True, False]


SPEC = "- hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.173.02\n- hostPath: /x/libnvidia-ml.so.580.173.02\n"
NAMES = ["nvidia.com/gpu=0", "nvidia.com/gpu=GPU-1", "nvidia.com/gpu=all"]


def test_cdi_file_that_is_right():
    assert nvidia_cdi.faults(SPEC, NAMES, "580.173.02", 1) == []


@pytest.mark.parametrize(
    ("text", "names", "driver", "gpus"),
    [
        (SPEC, NAMES, "595.91.07", 1),
        ("", NAMES, "580.173.02", 1),
        (SPEC, NAMES, "580.173.02", 2),
        (SPEC, [], "580.173.02", 1),
        (SPEC + "libcuda.so.570.1.2\n", NAMES, "580.173.02", 1),
        (SPEC.splitlines()[1], NAMES, "580.173.02", 1),  # without libcuda
        ('cdiVersion: "1.9.0"\n' + SPEC, NAMES, "580.173.02", 1),
    ],
)
def test_cdi_file_that_is_stale(text, names, driver, gpus):
    assert len(nvidia_cdi.faults(text, names, driver, gpus)) == 1


@pytest.mark.parametrize(
    ("said", "old"),
    [
        ("Docker version 26.1.5+dfsg1, build a72d7cd", False),
        ("Docker version 25.0.3, build 4debf41", True),
        ("Docker version 29.7.2, build x", False),
    ],
)
def test_engine_that_needs_the_flag(program, said, old):
    program("docker", f"echo '{said}'\n")
    assert nvidia_cdi.engine_is_old("docker", "26.1.0") is old


def test_flag_keeps_the_user_s_lines(tmp_path):
    path = tmp_path / "refresh.env"
    path.write_text("NVIDIA_CTK_DEBUG=1\n")
    assert nvidia_cdi.set_flag(True, True, str(path)) and path.read_text() == "NVIDIA_CTK_DEBUG=1\n"
    assert [nvidia_cdi.set_flag(True, False, str(path)) for _ in range(2)] == [True, False]
    assert path.read_text() == f"NVIDIA_CTK_DEBUG=1\n{nvidia_cdi.FLAG}\n"
    assert nvidia_cdi.set_flag(False, False, str(path)) and path.read_text() == "NVIDIA_CTK_DEBUG=1\n"


@pytest.mark.parametrize(
    ("release", "wanted"),
    [
        ("4.18.0-553.el8_10.x86_64", ["kernel-devel=4.18.0-553.el8_10", "kernel-headers"]),
        ("5.14.0-503.11.1.el9_5.x86_64", ["kernel-devel-matched=5.14.0-503.11.1.el9_5", "kernel-headers"]),
        ("6.12.0-55.9.1.el10_0.x86_64", ["kernel-devel-matched=6.12.0-55.9.1.el10_0", "kernel-headers"]),
        ("5.15.0-300.163.18.el9uek.x86_64", ["kernel-uek-devel=5.15.0-300.163.18.el9uek"]),
    ],
)
def test_headers_of_rpm_s_kernels(tmp_path, release, wanted):
    assert kernel.rpm_headers(release, str(tmp_path)) == wanted
    (tmp_path / release / "build").mkdir(parents=True)
    assert kernel.rpm_headers(release, str(tmp_path)) == []
