"""The machine's container engine: the running Docker, or one that the lab installs and starts."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from lab.home import Home
from lab.packages import require
from lab.shell import run, say, succeeds, wait_for

PID_FILES = {
    "dockerd": Path("/var/run/docker.pid"),
    "containerd": Path("/var/run/docker/containerd/containerd.pid"),
}


def docker(*arguments: str, stdin: str | bytes | None = None) -> str:
    """Runs the docker client and returns its stdout, stripped."""
    return run("docker", *arguments, stdin=stdin).strip()


def answers() -> bool:
    return shutil.which("docker") is not None and succeeds("docker", "info")


def ensure(home: Home) -> None:
    """Returns with a Docker that answers; installs and starts one when there is none, and says so."""
    if answers():
        return
    require("docker", "dockerd", "iptables")
    if answers():  # its package started it
        return
    if Path("/run/systemd/system").exists():
        run("systemctl", "start", "docker")
        say("Started Docker on this machine (systemctl start docker).")
    else:
        _start_by_hand(home)
    wait_for("Docker's answer", answers, 60, f"Read {home.path / 'dockerd.log'}, or journalctl -u docker.")


def _start_by_hand(home: Home) -> None:
    """Starts dockerd in a session of its own, for machines whose first process is not systemd."""
    log = home.directory() / "dockerd.log"
    for name, record in PID_FILES.items():
        # dockerd refuses to start when a process of any kind has the number that a killed dockerd left.
        if record.exists() and _name(record.read_text().strip()) != name:
            record.unlink()
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["dockerd"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    (home.path / "dockerd.pid").write_text(f"{process.pid}\n")
    say(f"Started Docker on this machine: dockerd, process {process.pid}, log {log}. `bin/lab down` stops it.")


def containers(label: str) -> list[dict]:
    """`docker inspect` of every container, running or not, that carries a label (`key` or `key=value`)."""
    names = docker("ps", "-aq", "--filter", f"label={label}").split()
    return json.loads(docker("inspect", *names)) if names else []


def image_exists(tag: str) -> bool:
    return succeeds("docker", "image", "inspect", tag)


def execute(container: str, script: str) -> str:
    """Runs a shell script in a container as root and returns its stdout."""
    return docker("exec", "-i", container, "sh", "-eu", stdin=script)


def stop(home: Home) -> None:
    """Stops the dockerd that the lab started by hand, unless something else runs in it by now."""
    record = home.path / "dockerd.pid"
    if not record.exists() or docker("ps", "-q"):
        return
    pid = int(record.read_text())
    record.unlink()
    if _name(pid) == "dockerd":  # the number may belong to another program by now
        os.kill(pid, signal.SIGTERM)
        wait_for("the end of dockerd", lambda: _name(pid) != "dockerd", 60, f"kill {pid}")
        say(f"Stopped Docker on this machine (dockerd, process {pid}).")


def _name(pid: int | str) -> str:
    """The program that runs under a process number; empty for none, and for one that has ended unseen."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return "" if fields["State"].startswith("Z") else fields["Name"]
