"""A fleet under calls: the lab's servers by group, the load on their proxy, and dgctl interrupted on the way."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.load import beside
from tests.scenarios.servers import DGCTL, LAB, Deployment, Run, Server, lab_up

NAME = "storyfleet"
BEFORE, AFTER = "release-260714", "release-260812"
STREAM_S = 7  # one round of the recording: what a drain waits for
LOAD = ["--streams", "12", "--files", "5", "--stream-seconds", str(STREAM_S)]


@dataclass
class Fleet:
    """Nodes behind a proxy. Servers are asked anew, since they come and go."""

    deployment: Deployment
    scratch: Path

    def servers(self, group: str) -> list[Server]:
        listed = subprocess.run([LAB, "list", f"--name={NAME}", "--json"], check=True, capture_output=True, text=True)
        found = json.loads(listed.stdout)
        return [Server(one["name"], one["address"]) for one in found if one["group"] == group]

    @property
    def nodes(self) -> list[Server]:
        """Those that the inventory has."""
        text = self.deployment.inventory.read_text()
        return [node for node in self.servers("node") if re.search(rf"(?m)^{node.name} ", text)]

    def change(self, **variables: Any) -> None:
        """Sets these variables of all servers, instead of those that were set before."""
        path = self.deployment.folder / "group_vars/all/zz_changed.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(variables))

    def grow(self, nodes: int) -> None:
        lab_up(NAME, self.deployment.folder, f"--nodes={nodes}", "--proxies=1")

    @contextmanager
    def calls(self) -> Iterator[beside.Beside]:
        """Load while the block runs, and until every stream that lived at its end is over."""
        (proxy,) = self.servers("proxy")
        with beside.load(self.scratch, proxy.name, proxy.address, *LOAD) as running:
            yield running
            time.sleep(STREAM_S + 3)
            running.stop()

    @contextmanager
    def calls_that_lose_nothing(self) -> Iterator[None]:
        with self.calls() as running:
            yield
        document = running.seen()
        assert beside.lost(document) == ""
        assert document["files"]["ok"] > 20 and document["streams"]["finished"] >= 12

    def carried_out(self, verb: str, *options: str, ctrl_c: str, kill: str) -> Run:
        """A run stopped by Ctrl-C when one phase begins, the next killed in another, and a third that ends it."""
        assert interrupted(self.deployment, verb, *options, phase=ctrl_c, number=signal.SIGINT) == 130
        assert interrupted(self.deployment, verb, *options, phase=kill, number=signal.SIGKILL) == -signal.SIGKILL
        run = self.deployment.dgctl(verb, *options, timeout=1200)
        assert run.exit_code == 0, run.problems() + run.stderr
        return run


def interrupted(deployment: Deployment, verb: str, *options: str, phase: str, number: signal.Signals) -> int:
    """The exit code of a dgctl that got this signal a second after it said that the phase began."""
    with subprocess.Popen(
        [DGCTL, verb, deployment.inventory, *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as running:  # fmt: skip
        said = []
        for line in running.stderr:
            said.append(line)
            if phase in line:
                break
        else:
            raise AssertionError(f"dgctl {verb} ended before it reached {phase!r}:\n{''.join(said)}")
        time.sleep(1)
        running.send_signal(number)
        # What a killed run has started may hold stderr open.
        return running.wait(60)


def set_release(deployment: Deployment, release: str) -> None:
    text = deployment.inventory.read_text()
    deployment.inventory.write_text(re.sub(r"(?m)^deepgram_release=.*$", f"deepgram_release={release}", text))


def releases(fleet: Fleet) -> set[str]:
    """Those that the nodes' containers say they are."""
    label = '{{index .Config.Labels "org.opencontainers.image.version"}}'
    script = f"docker inspect --format '{label}' deepgram-api deepgram-engine"
    return {release for node in fleet.nodes for release in node.sh(script).split()}


def active_streams(node: Server) -> int:
    """How many streams a node serves now, by its own API."""
    return json.loads(node.sh("curl -sf --max-time 5 http://127.0.0.1:8080/v1/status"))["active_stream_requests"]
