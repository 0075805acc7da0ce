"""Faults of the system below the service: tables of the kernel that are full, device files, name servers, a second firewall."""

from __future__ import annotations

from lab.faults.registry import heal, inject
from lab.faults.target import Target

HANDLES = "/proc/sys/fs/file-nr"
TRACKED = "/proc/sys/net/netfilter/nf_conntrack_count"
RESOLV = "/etc/resolv.conf"
NOBODY, SLOW = "127.0.0.54", "127.0.0.55"  # name servers of this machine alone: nobody asks the network
UNIT = "lab-slow-resolver"
# Hands each question on, and its answer back late.
FORWARD = """
import socket, sys, threading, time
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind((sys.argv[1], 53))
def late(question, whom):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(5)
        asked.sendto(question, (sys.argv[2], 53))
        answer = asked.recv(4096)
    time.sleep(2.5)
    here.sendto(answer, whom)
while True:
    threading.Thread(target=late, args=here.recvfrom(4096), daemon=True).start()
"""


# What this module laid over a path, and not what stands there on every server of the lab.
UNCOVER = """
while awk -v path={path} '$5 == path && $4 ~ "/simulated-"' /proc/self/mountinfo | grep -q .; do umount {path}; done
"""


def laid_over(target: Target, path: str, text: str) -> str:
    """What the kernel says at a path, which it has in common with every other server of this machine."""
    place = "/run/simulated" + path.replace("/", "-")
    target.sh(UNCOVER.format(path=path))
    return target.sh(f"printf '%s\\n' \"{text}\" > {place}; mount --bind {place} {path}; cat {path}")


def uncovered(target: Target, path: str) -> str:
    return target.sh(f"{UNCOVER.format(path=path)}cat {path}")


@inject("file-handles-out")
def handles_out(target: Target) -> str:
    return laid_over(target, HANDLES, "198000 0 200000")


@heal("file-handles-out")
def handles_free(target: Target) -> str:
    return uncovered(target, HANDLES)


@inject("conntrack-full")
def tracked_full(target: Target) -> str:
    return laid_over(target, TRACKED, "$(cat /proc/sys/net/netfilter/nf_conntrack_max)")


@heal("conntrack-full")
def tracked_few(target: Target) -> str:
    return uncovered(target, TRACKED)


@inject("gpu-device-closed")
def closed(target: Target) -> str:
    """A udev rule of somebody's gives the GPU to root alone."""
    return target.sh("chmod 600 /dev/nvidia0; ls -l /dev/nvidia0")


@heal("gpu-device-closed")
def open_again(target: Target) -> str:
    return target.sh("chmod 666 /dev/nvidia0; ls -l /dev/nvidia0")


@inject("resolver-dead")
def dead(target: Target) -> str:
    """The first of two name servers does not answer."""
    return laid_over(target, RESOLV, f"nameserver {NOBODY}\n$(grep ^nameserver {RESOLV} | head -n 1)")


@inject("resolver-slow")
def slow(target: Target) -> str:
    target.sh(f"""
    real=$(awk '/^nameserver/ {{ print $2; exit }}' {RESOLV})
    systemd-run --quiet --unit={UNIT} /usr/bin/python3 -c '{FORWARD}' {SLOW} $real
    """)
    return laid_over(target, RESOLV, f"nameserver {SLOW}")


@heal("resolver-dead")
@heal("resolver-slow")
def resolves(target: Target) -> str:
    reported = uncovered(target, RESOLV)
    target.sh(f"systemctl stop {UNIT} 2>/dev/null || true")
    return reported


@inject("second-firewall")
def second_firewall(target: Target) -> str:
    """Somebody switched ufw on, and thought of SSH alone."""
    return target.sh("""
    command -v ufw >/dev/null || apt-get install -qy --no-install-recommends ufw >/dev/null
    ufw allow 22/tcp; ufw --force enable; ufw status
    """)


@heal("second-firewall")
def one_firewall(target: Target) -> str:
    return target.sh(
        "if command -v ufw >/dev/null; then ufw --force reset; ufw disable; apt-get purge -qy ufw >/dev/null; fi"
    )
