"""When nvidia-smi is asked in a container, and when a look can do without."""

import pytest
from ansible.module_utils.nvidia import container_gpus as gpus

PID = 71
DRIVER = "580.95.05"
LOST = "Failed to initialize NVML: Unknown Error"
MOUNT = "692 654 0:56 /usr/lib64/libnvidia-ml.so.{0} /usr/lib64/libnvidia-ml.so.{0} ro,nosuid - overlay overlay rw\n"
V1 = "13:hugetlb:/other\n5:devices:/system.slice/docker-1.scope\n0::/other\n"
V2 = "0::/system.slice/docker-1.scope\n"


class Container:
    """The files that the kernel shows of it. Its nodes are files; one that cannot be opened is a folder."""

    def __init__(self, root):
        self.process, self.groups = root / "proc" / str(PID), root / "cgroup"
        self.dev = self.process / "root" / "dev"
        self.dev.mkdir(parents=True)
        for name in ("null", "nvidia0", "nvidia1", "nvidiactl"):
            (self.dev / name).write_text("")
        self.given(DRIVER)
        self.grouped(V2, "")

    def given(self, *drivers):
        mounts = "1 2 0:3 / /proc rw - proc proc rw\n" + "".join(map(MOUNT.format, drivers))
        (self.process / "mountinfo").write_text(mounts)

    def grouped(self, text, hierarchy):
        (self.process / "cgroup").write_text(text)
        self.group = self.groups / hierarchy / "system.slice" / "docker-1.scope"
        self.group.mkdir(parents=True, exist_ok=True)

    def deny(self, name):
        (self.dev / name).unlink()
        (self.dev / name).mkdir()

    def remove(self, name):
        (self.dev / name).unlink()


@pytest.fixture
def container(host):
    (host.root / "sys" / "nvidia").mkdir(parents=True)
    (host.root / "sys" / "nvidia" / "version").write_text(DRIVER + "\n")
    host.set("nvidia.container_gpus", PROC=f"{host.root}/proc", CONTROL_GROUPS=f"{host.root}/cgroup")
    host.program("docker", f"echo '{LOST}'; exit 255")
    return Container(host.root)


@pytest.mark.parametrize(("text", "hierarchy"), [(V2, ""), (V1, "devices")])
def test_what_opens_is_not_asked_about(container, text, hierarchy):
    container.grouped(text, hierarchy)
    assert gpus.lost("docker", "deepgram-engine", PID) == ""
    assert (container.group / "cgroup.procs").read_text().strip().isdigit()  # it was opened from within the group


@pytest.mark.parametrize(
    "doubt",
    [
        lambda container: container.deny("nvidiactl"),
        lambda container: container.deny("nvidia1"),
        lambda container: container.remove("nvidiactl"),
        lambda container: (container.remove("nvidia0"), container.remove("nvidia1")),
        lambda container: container.given("570.86.15"),
        lambda container: container.given(DRIVER, "570.86.15"),
        lambda container: container.given(),
        lambda container: container.group.rmdir(),
        lambda container: (container.process / "cgroup").unlink(),
        lambda container: (container.process / "cgroup").write_text("13:hugetlb:/other\n"),
        lambda container: (container.process / "mountinfo").unlink(),
    ],
)
def test_a_doubt_is_asked_about(container, doubt):
    doubt(container)
    assert gpus.lost("docker", "deepgram-engine", PID) == LOST


def test_no_driver_is_a_doubt(container, host):
    (host.root / "sys" / "nvidia" / "version").unlink()
    assert gpus.lost("docker", "deepgram-engine", PID) == LOST


def test_a_process_that_is_gone_is_a_doubt(container):
    assert gpus.lost("docker", "deepgram-engine", PID + 1) == LOST


def test_a_doubt_alone_is_no_loss(container, host):
    container.deny("nvidia0")
    host.program("docker", "echo 'GPU 0: Tesla T4 (UUID: GPU-1)'")
    assert gpus.lost("docker", "deepgram-engine", PID) == ""


def test_a_driver_that_hangs_is_not_waited_for(container, monkeypatch):
    monkeypatch.setattr(gpus, "JOIN_AND_OPEN", "exec sleep 60")
    monkeypatch.setattr(gpus, "OPEN_TIMEOUT_S", 0.1)
    assert gpus.lost("docker", "deepgram-engine", PID) == LOST
