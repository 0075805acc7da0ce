"""A host made of a temporary folder and of what its programs would say: healthy, until a test breaks something."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests import utilities, yaml_file
from tests.paths import PROJECT

utilities.use()

from ansible.module_utils.doctor import doctor  # noqa: E402
from ansible.module_utils.doctor import packages as doctor_packages  # noqa: E402
from ansible.module_utils.doctor import smi as doctor_smi  # noqa: E402
from ansible.module_utils.doctor.check import judge  # noqa: E402
from ansible.module_utils.doctor.engine import Docker, Podman  # noqa: E402
from ansible.module_utils.doctor.host import Answer, Host  # noqa: E402

from tests.doctor import service_patient  # noqa: E402

FILES = sorted((PROJECT / "roles/platform/vars/main").glob("*.yml"))
PLATFORM = {name: row for path in FILES for name, row in yaml_file.read(path).items()}
TABLES = {name: PLATFORM[f"_platform_{name}"] for name in ("gpus", "generations", "branches", "nvswitch", "cdi")}
VERSION, OLDER, NEWER = "580.173.02", "580.95.05", "580.178.04"
KERNEL = platform.release()
A, B = "0000:3b:00.0", "0000:5e:00.0"
NOT_THERE = Answer("", None, "no such program: No such file or directory")
MODINFO = """filename:       /lib/modules/{kernel}/updates/dkms/nvidia.ko.xz
alias:          char-major-195-*
version:        {version}
supportedarch:  x86_64
license:        {license}
depends:        drm
sig_id:         PKCS#7
signer:         {signer}
sig_key:        5B:92:A1
sig_hashalgo:   sha256
signature:      1E:7C:52:
\t\tC0:FF:EE
parm:           NVreg_ResmanDebugLevel:int
"""
LOG = """[    0.000000] Linux version 6.12.48+deb13-amd64
[    4.812345] nvidia: loading out-of-tree module taints kernel.
[    5.101010] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.173.02  Release Build
[  812.000001] NVRM: Xid (PCI:0000:3b:00): 13, pid=4711, name=python3, Graphics Exception: ESR 0x404490=0x80000002
[  812.000002] NVRM: Xid (PCI:0000:3b:00): 43, pid=4711, name=python3, Ch 00000008
"""
MODULE = "NVRM version: NVIDIA UNIX {face}  {version}  Release Build  (dvs-builder@U22)  Wed Jul 29 03:01:16 UTC 2026\n"
OPEN, PROPRIETARY = "Open Kernel Module for x86_64", "x86_64 Kernel Module"
# As the kernel module writes it: nv-procfs.c in NVIDIA's open-gpu-kernel-modules.
INFORMATION = "Model: \t\t Tesla T4\nIRQ:   \t\t 123\nGPU UUID: \t GPU-00000000-1111-2222-3333-444444444444\n"
CDI = """---
cdiVersion: {cdi}
kind: nvidia.com/gpu
devices:
    - name: "0"
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia0
    - name: all
containerEdits:
    mounts:
        - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.{version}
          containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.{version}
        - hostPath: /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{version}
          containerPath: /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{version}
"""
DRIVER_PACKAGES = (
    "nvidia-open",
    "nvidia-kernel-open-dkms",
    "nvidia-smi",
    "libcuda1",
    "libnvidia-ml1",
    "nvidia-persistenced",
)
TOOLKIT = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
HELD = (*DRIVER_PACKAGES, *TOOLKIT)
DAEMON = {"features": {"cdi": True}, "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}
UNIT = "Id={id}\nLoadState=loaded\nActiveState={active}\nUnitFileState=enabled\nResult={result}\n"
APT = 'APT::Architecture "amd64";\nUnattended-Upgrade::Package-Blacklist "";\n'
BLACKLIST = "".join(
    f'Unattended-Upgrade::Package-Blacklist:: "{one}";\n'
    for one in ("nvidia-", "libnvidia-", "libcuda", "firmware-nvidia-")
)
NVIDIA_REPOSITORY = "https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64"
PARAMETERS = {
    "host": "gpu1",
    "gpu": True,
    "engine": "docker",
    "tables": TABLES,
    "driver_source": "nvidia",
    "gpu_count": None,
    "hold": True,
    "persistence": True,
    "lock_patience_s": 600,
    "places": [],
}


# Files are older than the containers and NGINX's workers, and those than now.
WRITTEN, STARTED = time.time() - 30 * 86400, time.time() - 86400
SINCE = datetime.fromtimestamp(STARTED, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Programs:
    """Answers in the place of programs; what is asked later may be a function of the words that it is asked with."""

    def __init__(self):
        self.answers: dict[str, Answer] = {}
        self.later: dict[str, Callable[..., Answer]] = {}

    def reported(self, name: str) -> Answer | None:
        return self.answers.get(name)

    def also(self, name: str, *argv: str) -> Answer:
        made = self.later.get(argv[0]) if argv else None
        return made(*argv) if made and name not in self.answers else self.answers.get(name, NOT_THERE)


class Engine(Docker):
    """Docker whose API is a table."""

    def __init__(self, programs):
        super().__init__(programs)
        self.api: dict[str, Any] = {
            "/version": {"Version": "26.1.5+dfsg1"},
            "/info": {"Runtimes": {"runc": {}, "nvidia": {}}, "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"]},
        }

    def _ask(self, path):
        return self.api.get(path)


def smi_row(index: int = 0, address: str = A, name: str = "Tesla T4", **fields: str) -> str:
    """A line of nvidia-smi's answer for a GPU; a field's dots are underscores in `fields`."""
    values = dict.fromkeys(doctor_smi.FIELDS, "[N/A]") | {
        "index": str(index),
        "uuid": f"GPU-0000000{index}-1111-2222-3333-444444444444",
        "name": name,
        "pci.bus_id": f"0000{address.upper()}",
        "driver_version": VERSION,
        "persistence_mode": "Enabled",
        "ecc.errors.uncorrected.volatile.total": "0",
        "retired_pages.pending": "No",
        "pcie.link.width.current": "16",
        "pcie.link.width.max": "16",
        "clocks_event_reasons.hw_slowdown": "Not Active",
        "clocks_event_reasons.hw_thermal_slowdown": "Not Active",
        "gpu_recovery_action": "None",
        "temperature.gpu": "34",
    }
    known = {name.replace(".", "_"): name for name in values}
    return ", ".join((values | {known[key]: value for key, value in fields.items()}).values())


class Patient:
    """A host with one T4, as `dgctl provision` leaves it."""

    def __init__(self, root: Path):
        self.root, self.programs, self.parameters = root, Programs(), dict(PARAMETERS)
        self.engine: Any = Engine(self.programs)
        self.ahead_s = 0  # of the clock
        self.records: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, tuple[str, str]] = {}
        self._hardware()
        self._driver()
        self._packages()
        self._containers()
        service_patient.serve(self)
        self.say("log", LOG)
        self.say("secure_boot", "", None)
        self.say("enrolled", "", None)
        self.parameters["controller_time"] = time.time()

    def _hardware(self) -> None:
        self.gpu(A, "1eb8")
        self.smi(smi_row())
        self.write("/proc/uptime", "86400.00 12345.00\n")

    def _driver(self) -> None:
        self.loaded(VERSION)
        self.module(VERSION)
        self.library(VERSION)
        self.write(f"/lib/modules/{KERNEL}/modules.dep", "updates/dkms/nvidia.ko.xz:\nkernel/fs/ext4/ext4.ko.xz:\n")
        self.write(f"/proc/driver/nvidia/gpus/{A}/information", INFORMATION)
        self.write("/run/cdi/nvidia.yaml", CDI.format(cdi="0.7.0", version=VERSION))
        self.write(f"/usr/lib/x86_64-linux-gnu/libcuda.so.{VERSION}")
        self.write("/usr/bin/nvidia-ctk")
        self.units()

    def _packages(self) -> None:
        for name in DRIVER_PACKAGES:
            self.package(name, f"{VERSION}-1", "hold")
        for name in TOOLKIT:
            self.package(name, "1.20.1-1", "hold")
        self.package("linux-image-amd64", "6.12.48-1")
        self.say("apt_check", "Reading package lists...\nBuilding dependency tree...\nReading state information...\n")
        self.say("apt_config", APT + BLACKLIST)
        self.say("apt_policy", "".join(policy(name, f"{VERSION}-1") for name in DRIVER_PACKAGES))
        as_recorded = {name: {"version": self.packages[name][0], "held": True, "status": "installed"} for name in HELD}
        driver = {"module": VERSION, "library": VERSION, "gpus": [A], "persistence": True}
        self.records["nvidia_driver"] = {
            "driver": driver,
            "packages": {name: as_recorded[name] for name in DRIVER_PACKAGES},
        }
        self.records["nvidia_container_toolkit"] = {"packages": {name: as_recorded[name] for name in TOOLKIT}}
        self.records["docker"] = {
            "packages": {"docker.io": {"version": "26.1.5", "held": False, "status": "installed"}}
        }

    def _containers(self) -> None:
        self.daemon(DAEMON)
        names = {name: {"image_id": service_patient.IMAGE} for name in ("deepgram-engine", "deepgram-api")}
        urls = [service_patient.STATUS, service_patient.METRICS]
        self.records["deepgram"] = {"containers": {"engine": "docker", "names": names}, "answers": urls}
        self.proxy()
        self.answers: dict[str, Any] = {}
        self.api("Healthy")
        self.container("engine", 4711)
        self.container("api", 4712)
        self.write("/proc/4711/root/dev/nvidia0")
        self.write("/proc/4711/root/usr/lib/x86_64-linux-gnu/libcuda.so.1")
        self.say("inside engine", "GPU 0: Tesla T4 (UUID: GPU-00000000-1111-2222-3333-444444444444)\n")

    # What a test says to make it another host.

    def write(self, path: str, text: str = "") -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        os.utime(place, (WRITTEN, WRITTEN))

    def remove(self, path: str) -> None:
        place = self.root / path.lstrip("/")
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()

    def say(self, name: str, text: str, status: int | None = 0, why: str = "") -> None:
        self.programs.answers[name] = Answer(
            text, status, why or (f"{name} ended with status {status}" if status else "")
        )

    def log(self, *lines: str) -> None:
        self.say("log", LOG + "".join(f"[ 1234.567890] {line}\n" for line in lines))

    def gpu(self, address: str, device: str, driver: str = "nvidia", kind: str = "0x030200", **files: str) -> None:
        folder = f"/sys/bus/pci/devices/{address}"
        for name, text in {"vendor": "0x10de", "device": f"0x{device}", "class": kind, **files}.items():
            self.write(f"{folder}/{name}", f"{text}\n")
        link = self.root / f"{folder}/driver".lstrip("/")
        link.unlink(missing_ok=True)
        link.symlink_to(f"../../../../bus/pci/drivers/{driver}")

    def smi(self, *rows: str, status: int = 0) -> None:
        self.say("smi", "".join(f"{row}\n" for row in rows), status)

    def loaded(self, version: str, face: str = OPEN) -> None:
        if not version:
            shutil.rmtree(self.root / "sys/module/nvidia")
            self.remove("/proc/driver/nvidia/version")
            return
        self.write("/sys/module/nvidia/version", f"{version}\n")
        self.write("/proc/driver/nvidia/version", MODULE.format(face=face, version=version))

    def module(self, version: str, license: str = "Dual MIT/GPL", signer: str = "DKMS module signing key") -> None:
        if not version:
            self.say("modinfo", "modinfo: ERROR: Module nvidia not found.\n", 1)
            return
        self.say("modinfo", MODINFO.format(kernel=KERNEL, version=version, license=license, signer=signer))

    def library(self, version: str) -> None:
        folder = "/usr/lib/x86_64-linux-gnu"
        self.write(f"{folder}/libnvidia-ml.so.{version}")
        link = self.root / f"{folder}/libnvidia-ml.so.1".lstrip("/")
        link.unlink(missing_ok=True)
        link.symlink_to(f"libnvidia-ml.so.{version}")

    def kernel(self, version: str, *, module: bool) -> None:
        self.write(f"/boot/vmlinuz-{version}")
        self.write(
            f"/lib/modules/{version}/modules.dep", "updates/dkms/nvidia.ko.xz:\n" if module else "kernel/a.ko:\n"
        )

    def units(self, service: str = "inactive", result: str = "success", path: str = "active", **others: str) -> None:
        states = {
            "docker.service": "active",
            "nvidia-cdi-refresh.path": path,
            "nvidia-cdi-refresh.service": service,
            **{f"{name}.service": state for name, state in others.items()},
        }
        blocks = [UNIT.format(id=unit, active=state, result=result) for unit, state in states.items()]
        self.say("units", "\n".join(blocks))

    def package(self, name: str, version: str, want: str = "install", status: str = "installed") -> None:
        self.packages[name] = (version, f"{want} ok {status}")
        text = "".join(
            f"Package: {name}\nStatus: {status}\nMaintainer: Somebody\nArchitecture: amd64\nVersion: {version}\n"
            f"Description: a package\n of two lines\n\n"
            for name, (version, status) in self.packages.items()
        )
        self.write("/var/lib/dpkg/status", text)

    def api(self, health: str = "", active: int = 0, status: int = 200, **answer: str) -> None:
        """What the API says of itself; without its health another answer, such as why="does not answer"."""
        body = {"system_health": health, "active_batch_requests": active} if health else None
        self.answers[service_patient.STATUS] = answer or {"status": status, "body": body}

    def daemon(self, settings: Any) -> None:
        text = settings if isinstance(settings, str) else json.dumps(settings, indent=4)
        self.write("/etc/docker/daemon.json", text)

    def container(self, part: str, pid: int, status: str = "running", **state: Any) -> None:
        running = status == "running"
        found = {
            "Running": running,
            "Restarting": False,
            "Status": status,
            "Pid": pid,
            "ExitCode": 0,
            "Error": "",
            "StartedAt": SINCE if running else "",
        } | state
        asks = (
            [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"], "Capabilities": [["gpu"]]}]
            if part.startswith("engine")
            else None
        )
        entry = {"State": found, "HostConfig": {"DeviceRequests": asks}, "Image": service_patient.IMAGE}
        self.engine.api[f"/containers/deepgram-{part}/json"] = entry

    def podman(self, quadlet: str = "", **started: str) -> None:
        """The same with Podman: no daemon.json, no Docker. quadlet: the Engine's, which keeps ending, so it is gone."""
        self.parameters["engine"] = "podman"
        self.engine = Podman(self.programs)
        states = {"deepgram-engine": 4711, "deepgram-api": 4712}
        state = {"Running": True, "Status": "running", "ExitCode": 0, "StartedAt": SINCE}
        if quadlet:
            self.write("/etc/containers/systemd/deepgram-engine.container", quadlet)
            del states["deepgram-engine"]
        since = {f"deepgram-{part}": {"StartedAt": moment} for part, moment in started.items()}
        entries = [
            {"Name": name, "State": state | {"Pid": pid} | since.get(name, {}), "Image": service_patient.IMAGE}
            for name, pid in states.items()
        ]
        self.say("podman", json.dumps(entries) + "\nError: no such container deepgram-license-proxy\n", 125)
        self.say("podman_version", "podman version 5.4.2\n")

    def proxy(self, kind: str = "served", wrong: str = "", foreign: str = "", members: str | None = None) -> None:
        """The server's NGINX: what it says to callers, and what else is in its configuration."""
        tls = {"port": 443, "server_name": "gpu1", "certificate": "/etc/nginx/tls/deepgram.crt", "members": members}
        self.records["nginx_proxy"] = {
            "tls": {**tls, "paths": {"/v1/listen": ["gpu1"]}},
            **service_patient.of_nginx(self),
        }
        self.callers = [("/v1/listen", kind, wrong)]
        own = "server {\n    listen 443 ssl default_server;\n    server_name gpu1;\n}\n"
        head = "# configuration file /etc/nginx/conf.d/{}.conf:\n{}\n"
        others = head.format("00-foreign", foreign) if foreign else ""
        site = service_patient.UPSTREAM + own
        self.say("nginx", service_patient.MAIN + others + head.format("deepgram", site))

    # What the doctor finds.

    def host(self) -> Host:
        host = Host(self.parameters, self.programs, self.engine, str(self.root))
        host.started += self.ahead_s
        host.manager = doctor_packages.manager(host)
        host.answer = self.answers.__getitem__  # type: ignore[method-assign]
        host.serving = lambda tls: self.callers  # type: ignore[method-assign]
        host.page = self.pages.__getitem__  # type: ignore[method-assign]
        host.reloaded = lambda pid: self.reloaded  # type: ignore[method-assign]
        host.resolves = lambda server, *_: self.dns.get(server)  # type: ignore[method-assign]
        host.certificate_served = lambda tls: self.served  # type: ignore[method-assign]
        host.roles = lambda: list(self.records)  # type: ignore[method-assign]
        host.recorded = lambda role: self.records.get(role, {})  # type: ignore[method-assign]
        return host

    def findings(self) -> dict[str, dict[str, str]]:
        """Every finding, by its check, without the disk: that is the test machine's."""
        host = self.host()
        checks = [check for check in doctor.CHECKS if doctor.concerns(check, self.parameters["gpu"])]
        return {check.name: judge(check, host) for check in checks}

    def failing(self) -> dict[str, str]:
        """{check: what is seen} of those that fail."""
        return {name: found["seen"] for name, found in self.findings().items() if found["verdict"] == "fail"}


def policy(name: str, version: str, origin: str = NVIDIA_REPOSITORY, candidate: str = "", other: str = "") -> str:
    """A block of `apt-cache policy`; `other`: where the candidate comes from."""
    lines = [f"{name}:", f"  Installed: {version}", f"  Candidate: {candidate or version}", "  Version table:"]
    lines += [f"     {candidate} 500", f"        500 {other} trixie/non-free amd64 Packages"] if candidate else []
    lines += [f" *** {version} 1000", f"       1000 {origin}  Packages" if origin else ""]
    return "\n".join([*filter(None, lines), "        100 /var/lib/dpkg/status", ""])
