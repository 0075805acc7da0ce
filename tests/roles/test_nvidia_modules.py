"""Loading the driver, its clients, its persistence daemon, its state, and the CDI file."""

import nvidia_cdi
import nvidia_driver_load
import nvidia_persistence
import pytest
from ansible.module_utils import (
    applied_gpu_users,
    cdi_refresh,
    driver_reload,
    gpu_clients,
    kernel,
    next_boot,
    nvidia_host,
)

ID = "0123456789abcdef" * 4
OUTER = "fedcba9876543210" * 4


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        (f"0::/system.slice/docker-{ID}.scope", ("docker", ID)),
        (f"12:devices:/docker/{ID}\n1:name=systemd:/docker/{ID}", ("docker", ID)),
        (f"0::/docker/{OUTER}/system.slice/docker-{ID}.scope", ("docker", ID)),
        (f"0::/docker/{OUTER}/system.slice/nvidia-persistenced.service", ("unit", "nvidia-persistenced.service")),
        (f"0::/system.slice/deepgram-engine.service/libpod-payload-{ID}", ("unit", "deepgram-engine.service")),
        (f"0::/machine.slice/libpod-{ID}.scope", ("podman", ID)),
        ("0::/user.slice/user-1000.slice/session-3.scope", ("", "session-3.scope")),
    ],
)
def test_owner_of_a_process(cgroup, expected):
    assert gpu_clients.owner(cgroup) == expected


def test_clients(tmp_path, program):
    program("docker", f"echo {ID}\n")
    program("podman", f"echo {OUTER}\n")
    for pid, device, cgroup in [
        ("10", "/dev/nvidia0", f"0::/system.slice/docker-{ID}.scope"),
        ("11", "/dev/nvidiactl", "0::/system.slice/nvidia-persistenced.service"),
        ("12", "/dev/nvidia-uvm", "0::/user.slice/session-3.scope"),
        ("13", "/dev/null", "0::/system.slice/ssh.service"),
        ("14", "/dev/nvidia0", f"0::/docker/{OUTER}"),
        ("15", "/dev/nvidia0", f"0::/machine.slice/libpod-{OUTER}.scope"),
        ("16", "/dev/nvidiactl", "0::/user.slice/session-3.scope"),
    ]:
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "fd/3").symlink_to(device)
        (tmp_path / pid / "cgroup").write_text(cgroup + "\n")
        (tmp_path / pid / "comm").write_text("nvidia-cuda-mps\n" if pid == "16" else "python\n")
    assert gpu_clients.clients(str(tmp_path)) == {
        "docker": [ID],
        "podman": [OUTER],
        "units": ["nvidia-persistenced.service"],
        "mps": ["nvidia-cuda-mps"],
        "others": ["python (pid 12, of session-3.scope)", f"python (pid 14, of {OUTER})"],
    }


def test_keepers_are_those_whom_nobody_could_start_again(tmp_path):
    for pid, cgroup in (("10", "0::/user.slice/session-3.scope"), ("11", "0::/system.slice/x.service")):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "fd/3").symlink_to("/dev/nvidia0")
        (tmp_path / pid / "cgroup").write_text(cgroup)
        (tmp_path / pid / "comm").write_text("python\n")
    assert applied_gpu_users.keepers(str(tmp_path)) == ["python (pid 10, of session-3.scope)"]


def test_clients_go_before_what_they_use_and_come_back_after_it(monkeypatch):
    log = []
    monkeypatch.setattr(gpu_clients, "run", lambda argv, timeout=0: log.append(" ".join(argv)) or (0, "", ""))
    who = {
        "docker": ["a"],
        "podman": ["b"],
        "mps": ["nvidia-cuda-mps"],
        "units": ["nvidia-imex.service", "nvidia-dcgm.service", "nvidia-fabricmanager.service", "x.service"],
    }
    assert gpu_clients.stop(who) == "" and log == [
        "docker stop a",
        "podman stop b",
        "systemctl stop x.service",
        "sh -c echo quit | nvidia-cuda-mps-control",
        "systemctl stop nvidia-dcgm.service",
        "systemctl stop nvidia-fabricmanager.service",
        "systemctl stop nvidia-imex.service",
    ]
    log.clear()
    assert gpu_clients.start(who) == "" and log == [
        "systemctl start nvidia-imex.service",
        "systemctl start nvidia-fabricmanager.service",
        "systemctl start nvidia-dcgm.service",
        "nvidia-cuda-mps-control -d",
        "systemctl start x.service",
        "docker start a",
        "podman start b",
    ]


NOBODY = {"docker": [], "podman": [], "units": [], "mps": [], "others": []}


class Kernel:
    """A kernel with modules; the installed driver is what modprobe loads."""

    def __init__(self, monkeypatch, tmp_path, loaded="", installed="580.173.02", clients=None, stuck=(), error=""):
        self.modules = {"nvidia": loaded, "nvidia_uvm": loaded} if loaded else {}
        self.installed, self.stuck, self.error, self.log = installed, stuck, error, []
        self.library, self.gpus, self.prepared, self.display = "", 1, [], []
        self.users, self.mark, self.stopped = (
            [NOBODY | (clients or {}), NOBODY],
            tmp_path / "mark",
            tmp_path / "stopped",
        )
        for module in (nvidia_driver_load, driver_reload, cdi_refresh):
            monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(nvidia_driver_load, "loaded_version", lambda: self.modules.get("nvidia", ""))
        monkeypatch.setattr(driver_reload, "module_loaded", lambda name: name in self.modules)
        monkeypatch.setattr(nvidia_driver_load, "module_file_version", lambda: self.installed)
        monkeypatch.setattr(nvidia_driver_load.next_boot, "ready", lambda *_: self.prepared)
        monkeypatch.setattr(nvidia_driver_load, "library_version", lambda: self.library or self.installed)
        monkeypatch.setattr(nvidia_driver_load, "pci_gpus", lambda: [{"address": "0000:3b:00.0"}] * self.gpus)
        monkeypatch.setattr(nvidia_driver_load, "smi_gpus", lambda: ([{"driver_version": self.modules["nvidia"]}], ""))
        package = {"version": f"{installed}-1", "held": True, "status": "installed"}
        monkeypatch.setattr(
            nvidia_driver_load.package_manager, "installed", lambda: {"nvidia-open": package["version"]}
        )
        monkeypatch.setattr(gpu_clients, "clients", self.clients)
        monkeypatch.setattr(
            gpu_clients, "active", lambda units: [u for u in units if "persistenced" in u] + self.display
        )
        monkeypatch.setattr(gpu_clients, "existing", lambda engine, names: names)
        for name in ("pending", "remember", "resume"):
            function = getattr(driver_reload, name)
            monkeypatch.setattr(function, "__defaults__", (str(self.stopped),))
        self.in_use = driver_reload.in_use
        monkeypatch.setattr(self.in_use, "__defaults__", (str(tmp_path / "none"),))
        for verb in ("stop", "start"):
            monkeypatch.setattr(gpu_clients, verb, lambda who, verb=verb: self.log.append((verb, who)) or "")

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

    def clients(self):
        return dict(self.users.pop(0) if len(self.users) > 1 else self.users[0])

    def said(self, verb):
        return [entry[1] for entry in self.log if isinstance(entry, tuple) and entry[0] == verb]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return lambda **state: Kernel(monkeypatch, tmp_path, **state)


@pytest.fixture
def load(call, tmp_path):
    return lambda check=False: call(
        "nvidia_driver_load", version="580.173.02", mark=str(tmp_path / "mark"), check=check
    )


def test_loaded_already(load, machine):
    kernel = machine(loaded="580.173.02")
    kernel.mark.write_text("580.173.02\n")
    assert not load()["changed"] and kernel.log == []


def test_same_version_of_the_other_flavour_is_replaced(call, machine, monkeypatch, tmp_path):
    kernel, on_disk = machine(loaded="580.173.02"), {"now": "open"}
    monkeypatch.setattr(
        nvidia_driver_load,
        "loaded_flavour",
        lambda: "proprietary" if "modprobe nvidia" not in kernel.log else on_disk["now"],
    )
    arguments = {"version": "580.173.02", "flavour": "open", "mark": str(tmp_path / "mark")}
    result = call("nvidia_driver_load", check=True, **arguments)
    assert result["changed"] and kernel.log == []
    assert call("nvidia_driver_load", **arguments)["changed"] and "modprobe -r nvidia" in kernel.log
    kernel.log.clear()
    on_disk["now"] = "proprietary"
    result = call("nvidia_driver_load", **arguments)
    assert (
        "has the proprietary module although the open one is installed" in result["msg"] and "modinfo" in result["fix"]
    )


def test_gpus_with_mig_are_told(load, machine, monkeypatch):
    machine(loaded="580.173.02")
    card = {"driver_version": "580.173.02", "pci.bus_id": "00000000:3B:00.0", "mig.mode.current": "Enabled"}
    monkeypatch.setattr(nvidia_driver_load, "smi_gpus", lambda: ([card], ""))
    assert load()["mig"] == ["00000000:3B:00.0"] == load(check=True)["mig"]


def test_first_load_unloads_nouveau(load, machine):
    kernel = machine()
    kernel.modules["nouveau"] = "x"
    result = load()
    assert result["changed"] and result["loaded_version"] == "580.173.02" and "nouveau" not in kernel.modules
    assert kernel.mark.read_text() == "580.173.02\n"


def test_nouveau_in_use_needs_a_reboot(load, machine):
    kernel = machine(stuck=["nouveau"])
    kernel.modules["nouveau"] = "x"
    assert "nouveau" in load()["reboot_needed"] and not kernel.mark.exists()


def test_reload_stops_unloads_in_order_loads_and_starts(load, machine):
    kernel = machine(loaded="580.95.05", clients={"docker": [ID], "units": ["engine.service"]})
    assert load()["reboot_needed"] == ""
    assert kernel.log[0][0] == "stop" and kernel.log[-1][0] == "start"
    for (who,) in (kernel.said("stop"), kernel.said("start")):
        assert who["docker"] == [ID] and who["units"] == ["engine.service", "nvidia-persistenced.service"]
    order = [entry for entry in kernel.log if isinstance(entry, str)]
    assert order.index("modprobe -r nvidia_uvm") < order.index("modprobe -r nvidia") < order.index("modprobe nvidia")
    assert order.index("modprobe nvidia") < order.index("systemctl restart nvidia-cdi-refresh.service")
    assert not kernel.stopped.exists() and kernel.mark.read_text() == "580.173.02\n"


def test_a_run_that_is_killed_between_stop_and_start_is_completed_by_the_next(load, machine, monkeypatch):
    kernel = machine(loaded="580.95.05", clients={"docker": [ID]})

    def killed(*_):
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(driver_reload, "in_use", killed)
        with pytest.raises(ValueError):  # it said nothing
            load()
    assert kernel.said("stop") and not kernel.said("start")
    kernel.users = [NOBODY]
    assert load(check=True)["changed"]
    assert load()["reboot_needed"] == "" and kernel.said("start")[0]["docker"] == [ID]
    assert not kernel.stopped.exists() and not load()["changed"]


def test_a_run_that_is_killed_before_the_start_only_starts(load, machine):
    kernel = machine(loaded="580.173.02")
    kernel.stopped.write_text('{"docker": ["x"], "units": ["engine.service"], "modules": []}')
    assert load()["changed"] and kernel.said("start")[0]["units"] == ["engine.service"] and not kernel.said("stop")


def test_module_that_stays_needs_a_reboot_and_clients_run_again(load, machine):
    kernel = machine(loaded="580.95.05", clients={"docker": [ID]}, stuck=["nvidia"])
    result = load()
    assert "in use" in result["reboot_needed"] and kernel.log[-1][0] == "start"
    assert kernel.modules["nvidia_uvm"], "what was unloaded is loaded again"


def test_program_of_nobody_is_not_killed(load, machine):
    kernel = machine(loaded="580.95.05", clients={"others": ["python (pid 7, of x.scope)"]})
    assert "python (pid 7, of x.scope)" in load()["reboot_needed"] and not kernel.said("stop")


def test_what_runs_on_a_display_stops_with_it(load, machine):
    kernel = machine(loaded="580.95.05", clients={"others": ["Xorg (pid 7, of session-1.scope)"]})
    kernel.display = ["display-manager.service"]
    assert load()["reboot_needed"] == "" and "display-manager.service" in kernel.said("start")[0]["units"]


def test_who_does_not_stop_is_named_and_everybody_runs_again(load, machine):
    kernel = machine(loaded="580.95.05", clients={"units": ["a.service"]})
    kernel.users[1] = NOBODY | {"others": ["python (pid 9, of y.scope)"]}
    assert "python (pid 9, of y.scope) still uses" in load()["reboot_needed"] and kernel.said("start")


def test_a_module_that_the_kernel_holds_is_seen_before_one_is_unloaded(load, machine, tmp_path):
    kernel = machine(loaded="580.95.05")
    for name, count, users in (("nvidia", "1", ["nvidia_uvm"]), ("nvidia_drm", "1", [])):
        (tmp_path / name / "holders").mkdir(parents=True)
        (tmp_path / name / "refcnt").write_text(count + "\n")
        for user in users:
            (tmp_path / name / "holders" / user).touch()
    kernel.in_use.__defaults__ = (str(tmp_path),)
    assert "holds module nvidia_drm (refcnt 1, used by 0 modules)" in load()["reboot_needed"]
    assert not [entry for entry in kernel.log if "modprobe -r" in entry]
    (tmp_path / "nvidia_drm/refcnt").write_text("0\n")
    assert load()["reboot_needed"] == ""


def test_a_module_of_others_on_top_needs_a_reboot_before_anything_is_stopped(load, machine, monkeypatch):
    kernel = machine(loaded="580.95.05")
    monkeypatch.setattr(driver_reload, "holders", lambda: {"nvidia_uvm", "somebodys"})
    assert "module somebodys" in load()["reboot_needed"] and not kernel.said("stop")


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("modprobe: ERROR: could not insert 'nvidia': Key was rejected by service", "nvidia_driver_source"),
        ("modprobe: ERROR: could not insert 'nvidia': No such device", "NVRM"),
        ("modprobe: ERROR: could not insert 'nvidia': Exec format error", "dmesg"),
        ("modprobe: FATAL: Module nvidia not found in directory /lib/modules/6.12", "headers"),
    ],
)
def test_module_that_does_not_load(load, machine, error, hint):
    machine(error=error)
    result = load()
    assert result["failed"] and error in result["msg"] and hint in result["fix"]


def test_other_version_on_disk(load, machine):
    machine(installed="570.1.2")
    result = load()
    assert result["failed"] and result["value"] == "570.1.2" and "dkms autoinstall" in result["fix"]


def test_check_mode_touches_nothing(load, machine):
    kernel = machine(loaded="580.95.05")
    assert load(check=True)["changed"] and kernel.log == [] and not kernel.mark.exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"library": "570.1.2"}, "library 570.1.2, nvidia-smi shows 1 of 1 GPUs"),
        ({"gpus": 2}, "nvidia-smi shows 1 of 2 GPUs"),
    ],
)
def test_driver_that_is_not_coherent(load, machine, fault, words):
    vars(machine(loaded="580.173.02")).update(fault)
    result = load()
    assert result["failed"] and words in result["msg"] and "dmesg" in result["fix"]
    assert "failed" not in load(check=True)


def test_nothing_that_runs_is_touched_where_the_next_boot_is_not_sure(load, machine, monkeypatch):
    kernel = machine(loaded="580.95.05", clients={"docker": [ID]})

    def stranded(*_):
        raise next_boot.Stranded("kernel 6.13 boots next and has no module", "Build it.", "none")

    monkeypatch.setattr(next_boot, "ready", stranded)
    result = load()
    assert result["failed"] and result["msg"].endswith("Fix: Build it.") and kernel.log == []
    monkeypatch.setattr(next_boot, "ready", lambda *_: ["module for kernel 6.13"])
    assert load()["prepared"] == ["module for kernel 6.13"]


def test_headers_for_running_and_coming_kernels(monkeypatch):
    installed = ["linux-image-amd64", "linux-image-6.12.48+deb13-amd64", "linux-image-cloud-amd64", "sed"]
    known = {name: {"version": "1", "held": False, "status": "installed"} for name in installed}
    monkeypatch.setattr(kernel.next_kernel, "has_headers", lambda release: False)
    monkeypatch.setattr(kernel.next_kernel, "booting", lambda: "6.12.57+deb13-amd64")
    assert kernel.headers(known, "6.12.48+deb13-amd64") == [
        "linux-headers-6.12.48+deb13-amd64", "linux-headers-6.12.57+deb13-amd64", "linux-headers-amd64",
        "linux-headers-cloud-amd64",
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
