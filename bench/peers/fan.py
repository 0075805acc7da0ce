"""Plain SSH round trips: one script on every host, some at a time, by xargs, which costs next to nothing itself."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from bench.deployment import Deployment
from bench.measure import BenchError, Cost, run

LOOK = Path(__file__).with_name("look.sh")
QUESTIONS = ("files", "packages", "services", "containers", "driver", "answers")


class Fan:
    """One script on all hosts of a deployment; `retained`: connections are kept, and found warm by the next call."""

    def __init__(self, deployment: Deployment, parallel: int, folder: Path, retained: bool):
        self.answers = folder / "answers"
        shutil.rmtree(self.answers, ignore_errors=True)
        self.answers.mkdir(parents=True, mode=0o700)
        self._hosts = folder / "hosts"
        self._hosts.write_text("".join(f"{host.address}\n" for host in deployment.endpoints()))
        control = ["-o", "ControlMaster=auto", "-o", "ControlPersist=300", "-o", "ControlPath=/tmp/dgctl-bench-%C"]
        ssh = shlex.join([*deployment.ssh(), *(control if retained else ["-o", "ControlPath=none"])])
        self._command = ["xargs", "-P", str(parallel), "-I{}", "sh", "-c"]
        self._ssh = ssh

    def run(self, script: Path | None) -> Cost:
        """One round trip a host: the script as root, or `true` when there is none."""
        remote = f"sudo sh <{shlex.quote(str(script))} >{shlex.quote(str(self.answers))}/{{}}" if script else "true"
        return run([*self._command, f"exec {self._ssh} {{}} {remote}"], stdin=self._hosts)

    def check(self, hosts: int) -> None:
        """Every host has answered every question: an empty answer would be a cheap one."""
        found = [path.read_text().splitlines() for path in sorted(self.answers.iterdir())]
        good = [lines for lines in found if set(QUESTIONS) <= set(lines) and lines[-1] == "200"]
        if len(good) != hosts:
            raise BenchError(f"{len(good)} of {hosts} hosts answered all of bench/peers/look.sh")
