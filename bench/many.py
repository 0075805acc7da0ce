"""Many endpoints from few servers: each server answers for a whole range of addresses, and each address is a host."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import labs
from bench.deployment import Deployment, Endpoint, with_hosts
from bench.measure import BenchError

# RFC 2544: set aside for benchmarks, so that nobody's network has it. One /22 a server.
_FIRST = int.from_bytes(bytes([198, 18, 0, 0]))
_EACH = 1024


@dataclass(frozen=True)
class Range:
    """What one server answers for beside its own address."""

    server: Endpoint
    number: int

    @property
    def network(self) -> str:
        return f"{_dotted(_FIRST + self.number * _EACH)}/22"

    def address(self, number: int) -> str:
        return _dotted(_FIRST + self.number * _EACH + 1 + number)


def _dotted(number: int) -> str:
    return ".".join(str(byte) for byte in number.to_bytes(4))


def spread(ranges: list[Range], desired: int) -> list[tuple[Endpoint, Endpoint]]:
    """(endpoint, its server) for each host wanted, neighbours on different servers, so that no sshd gets a crowd."""
    if desired > len(ranges) * (_EACH - 2):
        raise BenchError(f"{desired} endpoints need more than {len(ranges)} servers")
    found = []
    for number in range(desired):
        mine = ranges[number % len(ranges)]
        found.append((Endpoint(f"endpoint{number + 1:04}", mine.address(number // len(ranges))), mine.server))
    return found


@contextmanager
def reachable(servers: list[Endpoint]) -> Iterator[list[Range]]:
    """The ranges, routed to their servers for the time of the measurement."""
    ranges = [Range(server, number) for number, server in enumerate(servers)]
    try:
        for one in ranges:
            labs.sh(one.server.name, f"ip route replace local {one.network} dev lo")
            _ip("route", "replace", one.network, "via", one.server.address)
        yield ranges
    finally:
        for one in ranges:
            subprocess.run(["ip", "route", "del", one.network], capture_output=True)
            labs.sh(one.server.name, f"ip route del local {one.network} dev lo || true")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"ip {' '.join(words)} ended with {done.returncode}: {done.stderr}")


def deployment(base: Deployment, hosts: list[tuple[Endpoint, Endpoint]], folder: Path) -> Deployment:
    """A copy of `base` whose hosts are these endpoints; their host keys are those of their servers."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base.folder, folder, ignore=shutil.ignore_patterns(".dgctl"))
    text = base.inventory.read_text()
    original = re.search(r"UserKnownHostsFile=(\S+)", text)
    if not original:
        raise BenchError(f"{base.inventory} names no file of host keys")
    known = folder / "known_hosts"
    known.write_text(known_hosts(Path(original.group(1)).read_text(), hosts))
    (folder / "inventory.ini").write_text(
        with_hosts(text, [endpoint for endpoint, _ in hosts]).replace(original.group(1), str(known))
    )
    return Deployment(folder)


def known_hosts(text: str, hosts: list[tuple[Endpoint, Endpoint]]) -> str:
    """A line an endpoint, with the key that the lab's file has for its server's address."""
    keys = {}
    for line in text.splitlines():
        names, _, key = line.partition(" ")
        keys |= dict.fromkeys(names.split(","), key)
    return "".join(f"{endpoint.name},{endpoint.address} {keys[server.address]}\n" for endpoint, server in hosts)
