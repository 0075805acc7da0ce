"""The script by hand: what it needs to know, and running it on a blank server over one SSH connection."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench import labs
from bench.deployment import Deployment
from bench.measure import Cost, run
from bench.peers import managed
from bench.world import CACHE

SCRIPT = Path(__file__).with_name("by_hand.sh")


@dataclass(frozen=True)
class Known:
    """The answers that a person working by hand has ready: files written, versions, sums of the models."""

    files: Path
    driver: str
    toolkit: str
    days: str
    keys: tuple[str, str]
    models: tuple[str, ...]


def learn(server: str, deployment: Deployment) -> Known:
    """Reads the answers off a server that dgctl has made right."""
    files = CACHE / "by_hand.tar.gz"
    labs.payload(server, [*managed.DIRECTORIES, *managed.WRITTEN], files)
    settings = yaml.safe_load((deployment.folder / "group_vars/all/main.yml").read_text())
    sums = json.loads(labs.sh(server, f"cat {managed.MODELS}/.sha256.json"))
    links = settings["deepgram_models_links"]
    return Known(
        files,
        labs.sh(server, "cat /sys/module/nvidia/version").decode().strip(),
        labs.sh(server, "dpkg-query -W -f '${Version}' nvidia-container-toolkit").decode(),
        "825",
        (settings["nvidia_driver_repository_key_url"], settings["nvidia_container_toolkit_repository_key_url"]),
        tuple(f"{link}={sums[link.rpartition('/')[2]]['sha256']}" for link in links),
    )


def converge(deployment: Deployment, known: Known) -> Cost:
    """Runs the script on the deployment's one server."""
    (host,) = deployment.endpoints()
    words = [known.driver, known.toolkit, host.name, host.address, known.days, *known.keys, *known.models]
    command = ["sudo", "bash", "-c", SCRIPT.read_text(), "by-hand", *words]
    return run([*deployment.ssh(), host.address, shlex.join(command)], stdin=known.files)
