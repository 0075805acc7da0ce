"""Loading the driver, and exchanging one that is loaded."""

import nvidia_driver_load
import pytest
from ansible.module_utils.boot import next_boot
from ansible.module_utils.nvidia import cdi_refresh, driver_reload, gpu_clients

ID = "0123456789abcdef" * 4
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
            nvidia_driver_load.packages_manager, "installed", lambda: {"nvidia-open": package["version"]}
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

    def reported(self, verb):
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


def test_the_right_version_of_the_right_flavour_is_left_alone(call, machine, monkeypatch, tmp_path):
    kernel = machine(loaded="580.173.02")
    kernel.mark.write_text("580.173.02\n")
    monkeypatch.setattr(nvidia_driver_load, "loaded_flavour", lambda: "open")
    for flavour in ("open", ""):
        result = call("nvidia_driver_load", version="580.173.02", flavour=flavour, mark=str(kernel.mark))
        assert not result["changed"] and kernel.log == []


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
    assert load()["reboot_needed"].startswith("nouveau cannot be unloaded: ") and not kernel.mark.exists()
    assert "modprobe nvidia" not in kernel.log, "two drivers for one GPU"


def test_reload_stops_unloads_in_order_loads_and_starts(load, machine):
    kernel = machine(loaded="580.95.05", clients={"docker": [ID], "units": ["engine.service"]})
    assert load()["reboot_needed"] == ""
    assert kernel.log[0][0] == "stop" and kernel.log[-1][0] == "start"
    for (who,) in (kernel.reported("stop"), kernel.reported("start")):
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
    assert kernel.reported("stop") and not kernel.reported("start")
    kernel.users = [NOBODY]
    assert load(check=True)["changed"]
    assert load()["reboot_needed"] == "" and kernel.reported("start")[0]["docker"] == [ID]
    assert not kernel.stopped.exists() and not load()["changed"]


def test_a_run_that_is_killed_before_the_start_only_starts(load, machine):
    kernel = machine(loaded="580.173.02")
    kernel.stopped.write_text('{"docker": ["x"], "units": ["engine.service"], "modules": []}')
    assert (
        load()["changed"] and kernel.reported("start")[0]["units"] == ["engine.service"] and not kernel.reported("stop")
    )


def test_module_that_stays_needs_a_reboot_and_clients_run_again(load, machine):
    kernel = machine(loaded="580.95.05", clients={"docker": [ID]}, stuck=["nvidia"])
    result = load()
    assert "in use" in result["reboot_needed"] and kernel.log[-1][0] == "start"
    assert kernel.modules["nvidia_uvm"], "what was unloaded is loaded again"


def test_program_of_nobody_is_not_killed(load, machine):
    kernel = machine(loaded="580.95.05", clients={"others": ["python (pid 7, of x.scope)"]})
    assert "python (pid 7, of x.scope)" in load()["reboot_needed"] and not kernel.reported("stop")


def test_what_runs_on_a_display_stops_with_it(load, machine):
    kernel = machine(loaded="580.95.05", clients={"others": ["Xorg (pid 7, of session-1.scope)"]})
    kernel.display = ["display-manager.service"]
    assert load()["reboot_needed"] == "" and "display-manager.service" in kernel.reported("start")[0]["units"]


def test_who_does_not_stop_is_named_and_everybody_runs_again(load, machine):
    kernel = machine(loaded="580.95.05", clients={"units": ["a.service"]})
    kernel.users[1] = NOBODY | {"others": ["python (pid 9, of y.scope)"]}
    assert "python (pid 9, of y.scope) still uses" in load()["reboot_needed"] and kernel.reported("start")


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
    assert "module somebodys" in load()["reboot_needed"] and not kernel.reported("stop")


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
