"""Preflight check of TCP ports: free, or held by this deployment's own NGINX or containers.

Listeners come from /proc/net/tcp and tcp6, their programs from /proc/PID/fd, so no tool has to be installed.
"""

import glob
import os
import re
import socket
import struct

from ansible.module_utils.host.files import read
from ansible.module_utils.host.outcome import finding, run
from ansible.module_utils.host.record import FOLDER

LISTEN = "0A"
# Compose names a container that takes another's place ID_NAME at first.
OWN_CONTAINER = re.compile(r"^([0-9a-f]{12}_)?deepgram-[a-z0-9-]+$")
CONTAINER_ID = re.compile(r"([0-9a-f]{64})")
RECORD = os.path.join(FOLDER, "nginx_proxy.json")  # what the role wrote of what it manages


def address(text):
    """The address of a /proc/net/tcp{,6} row ("0100007F": words in host byte order), as people write it."""
    words = [text[i : i + 8] for i in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", int(word, 16)) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def listeners(proc="/proc"):
    """[(address, port, socket inode)] of all listening TCP sockets."""
    found = []
    for table in ("net/tcp", "net/tcp6"):
        for line in read(os.path.join(proc, table)).splitlines()[1:]:
            field = line.split()
            if field[3] == LISTEN:
                host, port = field[1].split(":")
                found.append((address(host), int(port, 16), field[9]))
    return found


def overlaps(one, other):
    """Would binding `other` meet a listener on `one`?"""
    every = {"0.0.0.0", "::", "::ffff:0.0.0.0"}
    return one in every or other in every or one == other


def holders(inodes, proc="/proc"):
    """Process ids with one of these sockets open."""
    names = {f"socket:[{inode}]" for inode in inodes}
    pids = set()
    for link in glob.glob(os.path.join(proc, "[0-9]*/fd/*")):
        try:
            if os.readlink(link) in names:
                pids.add(int(link.split("/")[-3]))
        except OSError:
            continue  # the process or the descriptor is gone
    return sorted(pids)


def published_by_docker(port):
    """Names of the containers for which docker-proxy holds this port. One that is just starting or ending is no running one."""
    for which in ([], ["--all"]):
        words = ["docker", "ps", *which, "--filter", f"publish={port}", "--format", "{{.Names}}"]
        rc, out, _err = run(words, timeout=20)
        if rc == 0 and out.split():
            return out.split()
    return to_be_published(port)


def to_be_published(port):
    """Names of the containers that publish this port when they run: one that is restarted again and again has it for moments."""
    rc, out, _err = run(["docker", "ps", "--all", "--quiet"], timeout=20)
    ports = "{{range .HostConfig.PortBindings}}{{range .}} {{.HostPort}}{{end}}{{end}}"
    if rc or not out.split():
        return []
    # Of those that were removed meanwhile nothing is said, and the others are.
    _rc, out, _err = run(["docker", "inspect", "--format", "{{.Name}}" + ports, *out.split()], timeout=20)
    rows = [line.split() for line in out.splitlines() if line.strip()]
    return [name.lstrip("/") for name, *published in rows if str(port) in published]


def watched_by_conmon(pid, proc="/proc"):
    """Name of the Podman container whose ports this conmon holds."""
    words = read(f"{proc}/{pid}/cmdline").split("\0")
    return words[words.index("-n") + 1] if "-n" in words[:-1] else ""


def container_of(pid, proc="/proc"):
    """Name of the container that a process runs in, or "" (host networking shows the program itself)."""
    ids = CONTAINER_ID.findall(read(f"{proc}/{pid}/cgroup"))
    for engine in ("docker", "podman"):
        rc, out, _err = run([engine, "inspect", "--format", "{{.Name}}", ids[-1]], timeout=20) if ids else (1, "", "")
        if rc == 0:
            return out.strip().lstrip("/")
    return ""


def is_ours(pid, port, nginx_config, proc="/proc"):
    """Does this process hold the port for this deployment?"""
    program = read(f"{proc}/{pid}/comm")
    if program == "nginx":
        listens = re.search(rf"(?m)^\s*listen\s[^;#]*\b{port}\b", read(nginx_config)) is not None
        return listens or f'"{nginx_config}"' in read(RECORD)  # it runs on with a file that a hand removed
    if program == "docker-proxy":
        return any(OWN_CONTAINER.match(name) for name in published_by_docker(port))
    if program == "conmon":
        return bool(OWN_CONTAINER.match(watched_by_conmon(pid, proc)))
    return bool(OWN_CONTAINER.match(container_of(pid, proc)))


def ports(desired, nginx_config, proc="/proc"):
    """One finding a port; `desired` is [{port, address, service, shared_by: a program of which anybody's may hold it}]."""
    listening = listeners(proc)
    found = []
    for want in desired:
        inodes = [inode for host, port, inode in listening if port == want["port"] and overlaps(host, want["address"])]
        pids = holders(inodes, proc) if inodes else []
        others = [pid for pid in pids if read(f"{proc}/{pid}/comm") != want.get("shared_by", "")]
        strangers = [pid for pid in others if not is_ours(pid, want["port"], nginx_config, proc)]
        free = not inodes or (pids and not strangers)
        who = ", ".join("{} (pid {})".format(read(f"{proc}/{pid}/comm"), pid) for pid in strangers)
        seen = (
            "free"
            if not inodes
            else "held by this deployment"
            if free
            else "held by %s" % (who or "an unknown process")
        )
        found.append(
            finding(
                "port {}".format(want["port"]),
                bool(free),
                seen,
                "free for {}".format(want["service"]),
                "Stop what holds it (ss -ltnp 'sport = :{}'), or choose another port for {}.".format(
                    want["port"], want["service"]
                ),
            )
        )
    return found
