"""The same questions as bench/peers/look.sh, in pyinfra's words; runs in pyinfra's own environment."""

import json
import os
from pathlib import Path

from pyinfra import host
from pyinfra.facts.docker import DockerContainer
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, systemd

settings = json.loads(Path(os.environ["BENCH_PEER"]).read_text())
desired = settings["hosts"][host.name]
managed = settings["managed"]


def right(what: str, good: bool) -> None:
    """What pyinfra has a fact for and no operation that only looks."""
    if not good:
        raise SystemExit(f"{host.name}: {what} is not right")


for path in managed["FILES"]:
    files.put(name=path, src=desired["files"] + path, dest=path, user="root", group="root", mode=desired["modes"][path])

apt.packages(name="packages", packages=[f"{name}={version}" for name, version in desired["packages"].items()])
held = host.get_fact(Command, command="apt-mark showhold").split()
right("what is held", set(desired["held"]) <= set(held))

for unit in managed["UNITS"]:
    full = unit if "." in unit else f"{unit}.service"
    systemd.service(name=unit, service=full, running=True, enabled=True)

for name in managed["CONTAINERS"]:
    found = host.get_fact(DockerContainer, object_id=name)
    right(name, bool(found) and found[0]["State"]["Running"])

sizes = host.get_fact(Command, command=managed["SIZES"])
right("the models", dict(line.split(" ") for line in sizes.splitlines()) == desired["models"])
smi = (
    "cat /sys/module/nvidia/version; nvidia-smi --query-gpu=uuid,driver_version,persistence_mode --format=csv,noheader"
)
lines = host.get_fact(Command, command=smi).splitlines()
right("the driver", lines[0] == desired["driver"] and all(line.endswith("Enabled") for line in lines[1:]))
status = f"curl --silent --output /dev/null --max-time 3 --write-out '%{{http_code}}' {managed['STATUS']}"
right("the API", host.get_fact(Command, command=status).strip() == "200")
