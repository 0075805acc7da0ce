"""The server that a fault is made on: commands, its PCI devices, files kept aside for the way back."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.containers import put
from lab.hardware import gpus
from lab.home import Home
from lab.servers import Server
from lab.shell import LabError

KERNEL = "/usr/lib/simulated-kernel"
QUADLET = "/etc/containers/systemd/deepgram-engine.container"
LIMIT_S = 900  # of one script
# The first line about the Engine; 1 without one. It reads to the end, so that nobody writes into a closed pipe.
FIRST = "awk '/engine/ && !found++ { print } END { exit !found }'"
NEEDED = {
    "any": lambda card: True,
    "mig": lambda card: card["mig"],
    "switch": lambda card: bool(card["switch"]),
    "old": lambda card: not card["open"],
    "blackwell": lambda card: card["generation"] == "blackwell",
}
# What holds the GPUs besides containers, in the order in which it starts.
DAEMONS = "nvidia-persistenced nvidia-fabricmanager nvidia-imex nvidia-dcgm"


@dataclass
class Target:
    """`fault`: the name under which files are kept aside."""

    home: Home
    server: Server
    fault: str

    def sh(self, script: str, check: bool = True) -> str:
        """Runs a script as root on the server; returns stdout and stderr. LabError with its end when it fails."""
        command = ["docker", "exec", "-i", self.server.name, "bash", "-o", "pipefail", "-eu"]
        environment = "export DEBIAN_FRONTEND=noninteractive\n"
        done = subprocess.run(
            command,
            input=environment + script,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LIMIT_S,
        )
        if check and done.returncode:
            tail = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-12:])
            raise LabError(f"{self.fault} on {self.server.name}: the script ended with {done.returncode}:\n  {tail}")
        return (done.stdout + done.stderr).strip()

    def holds(self, test: str) -> bool:
        """Whether a shell's condition holds; what it says besides does not count."""
        return "yes" in self.sh(f"if {test.strip()}; then echo yes; fi").splitlines()

    @property
    def directory(self) -> Path:
        return self.home.path / "servers" / self.server.name

    @property
    def aside(self) -> Path:
        """Where this fault keeps what it took away; on the lab's side, where the server does not see it."""
        return self.home.directory("servers", self.server.name, "faults", self.fault)

    def cards(self) -> list[dict]:
        """The GPUs on the bus, in bus order."""
        paths = sorted((self.directory / "pci").glob("*/simulated.json"))
        return [card for card in (json.loads(path.read_text()) for path in paths) if "uuid" in card]

    def kernel(self, *arguments: str) -> str:
        return self.sh(f"{KERNEL}/nvidia {' '.join(arguments)}")

    def set_health(self, card: dict, **values: object) -> None:
        """Changes a GPU's health, also in the driver that has it. Keys with `_` for the dots."""
        known = {key.replace(".", "_"): key for key in gpus.healthy(card)}
        for key, value in values.items():
            self.kernel("set", card["bus_id"], known[key], f"'{json.dumps(value)}'")

    def log(self, *lines: str) -> None:
        """Adds lines to the kernel's log."""
        script = f"import places\nplaces.log(*{json.dumps(lines)})"
        self.sh(f"PYTHONPATH={KERNEL} /usr/bin/python3 -B - <<'END'\n{script}\nEND")

    def forget_log(self) -> None:
        """A kernel's log ends with its boot."""
        self.sh("rm -f /run/simulated-kernel/log")

    def keep(self, path: str) -> None:
        """Keeps a file of the server aside, unless an earlier call did."""
        retained = self.aside / path.strip("/").replace("/", "%")
        if not retained.exists():
            done = subprocess.run(["docker", "exec", self.server.name, "cat", path], capture_output=True)
            if done.returncode:
                raise LabError(f"{self.server.name} has no {path}.", "Provision the server first.")
            retained.write_bytes(done.stdout)

    def put_back(self) -> list[str]:
        """Writes every kept file to its place; returns the paths."""
        paths = []
        for retained in sorted(self.aside.iterdir()):
            path = retained.name.replace("%", "/")
            put(self.server.name, {path: (retained.read_bytes(), 0o644)})
            retained.unlink()
            paths.append("/" + path)
        return paths

    def require(self, gpu: str, setup: str, engine: str) -> None:
        """LabError when the server lacks the hardware or what must be installed."""
        if self.server.state != "running":
            raise LabError(f"{self.server.name} is {self.server.state}.", f"bin/lab start {self.server.name}")
        if gpu != "none" and not any(NEEDED[gpu](card) for card in self.cards()):
            raise LabError(f"{self.server.name} has no GPU for {self.fault} (needed: {gpu}).", "See lab/faults.toml.")
        if setup != "bare" and not self.holds("[ -e /usr/bin/nvidia-smi ]"):
            raise LabError(
                f"{self.server.name} has no driver yet.", "Provision it first: bin/dgctl provision INVENTORY"
            )
        if setup == "deployed" and not self.engine():
            raise LabError(f"No container engine on {self.server.name} has an Engine.", "Provision it first.")
        if engine != "any" and self.engine() != engine:
            raise LabError(
                f"{self.fault} is a fault of {engine}, and {self.server.name} runs {self.engine() or 'none'}."
            )

    def engine(self) -> str:
        """docker, podman, or empty: the one that has the Engine. Podman's container is gone whenever it does not run."""
        if self.holds(f"[ -e {QUADLET} ]"):
            return "podman"
        has = f"command -v docker >/dev/null && docker ps -a --format '{{{{.Names}}}}' | {FIRST} >/dev/null"
        return "docker" if self.holds(has) else ""

    def release_gpus(self) -> None:
        """Stops everything that has a GPU open, as it would be after a boot without a driver."""
        self.sh(f"""
        if command -v docker >/dev/null; then docker ps -q | xargs -r docker stop -t 20 >/dev/null; fi
        systemctl stop 'deepgram*.service' {DAEMONS} 2>/dev/null || true
        if command -v podman >/dev/null; then podman ps -q | xargs -r podman stop -t 20 >/dev/null; fi
        if [ -e /sys/module/nvidia ]; then modprobe -r nvidia; fi
        """)

    def use_gpus(self) -> None:
        """Starts again what release_gpus stopped."""
        self.sh(f"""
        modprobe nvidia
        # What watches the driver has given up where it could not be used: too many starts in too short a time.
        systemctl reset-failed 'nvidia-*' 2>/dev/null || true
        for unit in {DAEMONS} nvidia-cdi-refresh.service nvidia-cdi-refresh.path; do
            if systemctl -q is-enabled $unit 2>/dev/null; then systemctl restart $unit; fi
        done
        for unit in $(systemctl list-unit-files 'deepgram*.service' --plain --no-legend | cut -d' ' -f1); do
            systemctl start $unit || true
        done
        if command -v docker >/dev/null; then docker ps -aq | xargs -r docker start >/dev/null; fi
        """)
        if self.engine():
            self.await_engine()

    def await_engine(self) -> None:
        """Waits until the Engine serves, so that who looks next finds a healthy server; says nothing if it does not."""
        engine = self.engine()
        start = "--since $(docker inspect -f '{{.State.StartedAt}}' $name)" if engine == "docker" else ""
        self.sh(f"""
        for try in $(seq 60); do
            name=$({engine} ps --format '{{{{.Names}}}}' | {FIRST} || true)
            if [ -n "$name" ] && {{ {engine} logs {start} $name 2>&1 || true; }} | grep 'Listening on' >/dev/null; then
                break
            fi
            sleep 1
        done
        """)
