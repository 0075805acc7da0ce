"""Who has a GPU open, who keeps it open, and in which order they stop and start."""

import pytest
from ansible.module_utils.nvidia import gpu_clients
from ansible.module_utils.nvidia import gpu_users as nvidia_gpu_users

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
    assert nvidia_gpu_users.keepers(str(tmp_path)) == ["python (pid 10, of session-3.scope)"]


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
