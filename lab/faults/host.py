"""Faults of the host itself: no room or no inodes in /var, a clock that is wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.containers import put
from lab.containers.engine import docker
from lab.faults.registry import heal, inject
from lab.faults.target import Target

SMALL = "/run/simulated-full"
LIBRARY = "/usr/lib/simulated-kernel/clock.so"
PRELOAD = "/etc/ld.so.preload"
DAY_S = 86400


@inject("disk-full")
def full(target: Target) -> str:
    return small(target, "size=16m", "cat /dev/zero > /var/log/core.dump 2>/dev/null || true; df -h /var | tail -1")


@inject("inodes-out")
def without_inodes(target: Target) -> str:
    """A program leaves a small file a request, and nobody removes them: there is room, and no file can be created."""
    fill = (
        "mkdir -p /var/spool/callbacks; for n in $(seq 5000); do : > /var/spool/callbacks/$n || break; done 2>/dev/null"
    )
    return small(target, "size=2g,nr_inodes=3000", f"{fill}; df -i /var | tail -1")


def small(target: Target, options: str, fill: str) -> str:
    """/var is laid over by a small file system, which is then filled; other mounts below /var stay as they are."""
    if target.holds(f"mountpoint -q {SMALL}"):
        return target.sh("df -h /var | tail -1")
    return target.sh(f"""
    mkdir -p {SMALL}; mount -t tmpfs -o {options} tmpfs {SMALL}
    mkdir -p {SMALL}/upper {SMALL}/work {SMALL}/below
    number=0
    awk '$5 ~ "^/var/" {{ print $5 }}' /proc/self/mountinfo | while read -r mount; do
        number=$((number + 1)); mkdir -p {SMALL}/below/$number
        mount --bind "$mount" {SMALL}/below/$number
        echo "$mount" >> {SMALL}/below/list
    done
    mount -t overlay overlay -o lowerdir=/var,upperdir={SMALL}/upper,workdir={SMALL}/work /var
    number=0
    if [ -e {SMALL}/below/list ]; then
        while read -r mount; do
            number=$((number + 1)); mount --bind {SMALL}/below/$number "$mount"
        done < {SMALL}/below/list
    fi
    {fill}
    """)


@heal("disk-full")
@heal("inodes-out")
def room(target: Target) -> str:
    return target.sh(f"""
    if mountpoint -q {SMALL}; then umount -R -l /var {SMALL}; fi
    df -h /var | tail -1
    """)


@inject("clock-off")
def ahead(target: Target) -> str:
    """Every program that starts from now on reads a time of tomorrow."""
    source = Path(__file__).with_name("clock.c").read_text()
    command = ["docker", "exec", "-i", target.home.services, "sh", "-c"]
    script = f"gcc -shared -fPIC -O2 -DOFFSET_S={DAY_S} -x c -o /tmp/clock.so - && cat /tmp/clock.so"
    compiled = subprocess.run([*command, script], input=source.encode(), capture_output=True, check=True).stdout
    put(target.server.name, {LIBRARY.strip("/"): (compiled, 0o755)})
    target.sh(f"echo {LIBRARY} > {PRELOAD}")
    return docker("exec", target.server.name, "date")


@heal("clock-off")
def right_time(target: Target) -> str:
    target.sh(f"rm -f {PRELOAD} {LIBRARY}")
    return docker("exec", target.server.name, "date")
