"""How a systemd container is started here, also where `--privileged` does not work."""

from lab.containers.engine import docker, execute
from lab.containers.tarball import tar_of
from lab.home import Home
from lab.machine import unified_cgroups
from lab.shell import LabError, wait_for

# All capabilities but those that this machine's bounding set may lack (CAP_SYS_RESOURCE and newer ones).
CAPABILITIES = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_TIME",
    "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "SYSLOG",
]  # fmt: skip
# systemd 257 refuses cgroup v1 unless told twice; its own command line comes from here, not from /proc/cmdline.
LEGACY_CGROUPS = "SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
UNCONFINED = ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"]


def options() -> list[str]:
    """`docker create` options that let systemd be the first process and run containers of its own."""
    cgroups = ["-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns=host"]
    return [
        *(f"--cap-add={name}" for name in CAPABILITIES),
        *(f"--security-opt={value}" for value in UNCONFINED),
        "--device-cgroup-rule=a *:* rwm",
        "--tmpfs=/run:exec,mode=755",
        "--tmpfs=/run/lock",
        "--stop-signal=SIGRTMIN+3",
        "--restart=unless-stopped",
        "--env=container=docker",
        *([] if unified_cgroups() else [f"--env={LEGACY_CGROUPS}"]),
        *cgroups,
    ]


def create(home: Home, name: str, image: str, address: str, labels: dict[str, str], extra: list[str]) -> None:
    """Creates, but does not start, a systemd container with a static address on the lab's network."""
    marks = {"dgctl.home": str(home.path), "dgctl.image": image, **labels}
    docker(
        "create", "--name", name, "--hostname", name, "--network", home.network, "--ip", address,
        *(f"--label={key}={value}" for key, value in marks.items()),
        *options(), *extra, image, "/usr/sbin/simulated-init",
    )  # fmt: skip


def put(container: str, files: dict[str, tuple[bytes, int]]) -> None:
    """Writes files (path without leading slash -> content, mode) into a container, owned by root."""
    docker("cp", "-", f"{container}:/", stdin=tar_of(files))


def wait_until_running(container: str, timeout_s: float = 90) -> None:
    """Waits for `systemctl is-system-running` = running; LabError names the failed units."""
    state = ""

    def settled() -> bool:
        nonlocal state
        state = execute(container, "systemctl is-system-running 2>/dev/null || true")
        return state in ("running", "degraded")

    wait_for(f"the boot of {container}", settled, timeout_s, f"docker logs {container}")
    if state == "degraded":
        failed = execute(container, "systemctl --failed --plain --no-legend")
        raise LabError(f"{container} booted with failed units:\n{failed}", f"docker exec {container} journalctl -b")
