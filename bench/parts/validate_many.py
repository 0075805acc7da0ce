"""`dgctl validate` for 1 to 5,000 hosts: its start, what a host more costs, and its memory. Needs no lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.deployment import Deployment
from bench.statistics import Verdict, growth, medians
from bench.world import CACHE, World

# Hosts -> seconds at most, on one core.
LIMITS_S = {1: None, 200: 1.0, 1000: 3.0, 5000: 15.0}
MEMORY_MB, DEARER = 150, 1.25
VARIABLES = """\
deepgram_release: release-260812
deepgram_models_links: [https://models.example.com/nova-3-general.en.streaming.dg]
site: "{{ 'west' if 'odd' in group_names else 'east' }}"
deepgram_region: "{{ site }}-1"
nginx_proxy_server_name: "{{ label }}.{{ site }}.example.com"
"""
SECRETS = "deepgram_api_key: not-a-key-at-all\n"


def measure(world: World) -> None:
    result: dict[str, Any] = {}
    for hosts in LIMITS_S:
        deployment, costs = write(CACHE / "validate", hosts), []
        for number in range(world.repeat):
            world.say(f"validate {number + 1}/{world.repeat}: {hosts} hosts")
            costs.append(deployment.dgctl("validate")[0])
        result[str(hosts)] = medians(costs)
    world.measured["validate"] = result
    world.verdicts += verdicts(result)


def write(folder: Path, hosts: int) -> Deployment:
    """Servers in two groups that see other values, each with an address and a variable of its own."""
    names = [f"gpu{n}" for n in range(1, hosts + 1)]
    own = [f"{name} ansible_host=10.0.{n // 250}.{n % 250 + 1} label=rack{n}" for n, name in enumerate(names)]
    inventory = ["[node]", *own, "[odd]", *names[::2], "[all:vars]", "ansible_user=ops"]
    (folder / "group_vars/all").mkdir(parents=True, exist_ok=True)
    (folder / "inventory.ini").write_text("\n".join(inventory) + "\n")
    (folder / "group_vars/all/main.yml").write_text(VARIABLES)
    (folder / "group_vars/all/vault.yml").touch(mode=0o600)
    (folder / "group_vars/all/vault.yml").write_text(SECRETS)
    return Deployment(folder)


def verdicts(result: dict[str, Any]) -> list[Verdict]:
    """Seconds against their limits; the start is one host's, and what the others cost beyond it has to be linear."""
    sizes = sorted(map(int, result))
    start = result[str(sizes[0])]["cpu_s"]
    beyond = {size: result[str(size)]["cpu_s"] - start for size in sizes[1:]}
    found = [
        Verdict("validate", f"wall, {size} hosts", result[str(size)]["wall_s"], LIMITS_S.get(size), unit="s")
        for size in sizes
    ]
    found += [
        Verdict("validate", f"CPU: {size} hosts / 1 host", result[str(size)]["cpu_s"] / start) for size in sizes[1:]
    ]
    most, middle = sizes[-1], sizes[-2]
    linear = growth([(middle, beyond[middle]), (most, beyond[most])])
    return [
        *found,
        Verdict("validate", f"CPU a host beyond the start: {most} hosts / {middle} hosts", linear, DEARER),
        Verdict("validate", f"memory, {most} hosts", result[str(most)]["peak_mb"], MEMORY_MB, unit="MB"),
    ]
