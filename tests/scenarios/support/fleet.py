"""A fleet under calls: the lab's servers by group, the load on their proxy, and dgctl interrupted on the way."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.load import beside
from tests.scenarios.support.servers import DGCTL, LAB, Deployment, Run, Server, lab_servers, lab_up
from tests.scenarios.support.stories import EVERYTHING

BEFORE, AFTER = "release-260714", "release-260812"
DEAD_S = 45
# One node alone has room for all calls; the load's clients are never idle for as long as callers' may be.
SETTINGS = {"deepgram_engine_max_active_requests": 40, "nginx_proxy_closing_s": 1.5}
STREAM_S = 7  # one round of the recording: what a drain waits for
# Each of two proxies gives each of two or three nodes as many streams. Files weigh on the same two cores as what is changed.
STREAMS, FILES_A_SECOND = 12, 5 if EVERYTHING else 3
EACH_STREAM = ("--stream-seconds", str(STREAM_S))


@dataclass
class Calls:
    """The load of each proxy, running or over."""

    by_proxy: list[beside.Beside]

    def total(self, kind: str, count: str) -> int:
        """Such as ("files", "failed")."""
        return sum(one.seen()[kind][count] for one in self.by_proxy)

    def lost(self) -> str:
        """What was lost, in a few lines; nothing when nothing was."""
        return "\n".join(filter(None, (beside.lost(one.seen()) for one in self.by_proxy)))


@dataclass
class Fleet:
    """Nodes behind proxies, in the lab of this name. Servers are asked again, since they come and go."""

    lab: str
    deployment: Deployment
    scratch: Path

    def servers(self, group: str) -> list[Server]:
        return lab_servers(self.lab, group)

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
        lab_up(self.lab, self.deployment.folder, f"--nodes={nodes}", "--with-docker")

    @contextmanager
    def calls(self) -> Iterator[Calls]:
        """The load, shared by the proxies, while the block runs, and until every stream that lived at its end is over."""
        proxies = self.servers("proxy")
        load = ["--streams", str(STREAMS // len(proxies)), "--files", str(FILES_A_SECOND / len(proxies))]
        with ExitStack() as stack:
            running = [
                stack.enter_context(
                    beside.load(self.scratch / proxy.name, proxy.name, proxy.address, *load, *EACH_STREAM)
                )
                for proxy in proxies
            ]
            yield Calls(running)
            time.sleep(STREAM_S + 3)
            for one in running:
                one.stop()

    @contextmanager
    def calls_that_lose_nothing(self) -> Iterator[None]:
        with self.calls() as running:
            yield
        assert running.lost() == ""
        assert running.total("files", "ok") > 20 and running.total("streams", "finished") >= STREAMS

    def carried_out(self, verb: str, *options: str, ctrl_c: str, kill: str, nth: int = 1) -> Run:
        """A run stopped by Ctrl-C when one phase begins, the next killed in another's nth, and a third that ends it."""
        assert interrupted(self.deployment, verb, *options, phase=ctrl_c, number=signal.SIGINT) == 130
        killed = interrupted(self.deployment, verb, *options, phase=kill, number=signal.SIGKILL, nth=nth)
        assert killed == -signal.SIGKILL
        run = self.deployment.dgctl(verb, *options, timeout=1200)
        assert run.exit_code == 0, run.problems() + run.stderr
        return run


def interrupted(
    deployment: Deployment, verb: str, *options: str, phase: str, number: signal.Signals, nth: int = 1
) -> int:
    """The exit code of a dgctl that got this signal a second after it said that the phase began, for the nth time."""
    with subprocess.Popen(
        [DGCTL, verb, deployment.inventory, *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as running:  # fmt: skip
        reported = []
        for line in running.stderr:
            reported.append(line)
            nth -= phase in line
            if not nth:
                break
        else:
            raise AssertionError(f"dgctl {verb} ended before it reached {phase!r}:\n{''.join(reported)}")
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


def settled(fleet: Fleet) -> None:
    """Nothing is left to do, and every node gets its share of the calls."""
    assert fleet.deployment.dgctl("plan").exit_code == 0
    with fleet.calls():
        assert all(shares(fleet.nodes)), "a node gets no stream"


def shares(nodes: list[Server], seconds: float = 30) -> list[int]:
    """Streams on each node; waits until each has some, for the proxies find out by themselves who serves."""
    until = time.monotonic() + seconds
    while not all(found := [active_streams(node) for node in nodes]) and time.monotonic() < until:
        time.sleep(0.5)
    return found


def at_proxies(fleet: Fleet, node: Server, state: str, within_s: float) -> float:
    """Seconds until every proxy has the node in this state."""
    started = time.monotonic()
    while time.monotonic() - started < within_s:
        reports = [proxy.sh("cat /run/deepgram-upstreams/members.json") for proxy in fleet.servers("proxy")]
        if {json.loads(reported)["members"][node.name]["state"] for reported in reports} == {state}:
            return time.monotonic() - started
        time.sleep(0.25)
    raise AssertionError(
        f"{node.name} is not {state} after {within_s} s: {node.sh('journalctl -o cat -u deepgram-watch -n 20')}"
    )


def cut_off(node: Server) -> None:
    """A power cut; returns when the callers' own pings have told them that their streams are gone."""
    subprocess.run([LAB, "kill", "--cut", node.name], check=True)
    time.sleep(DEAD_S)


def powered_on(node: Server) -> None:
    subprocess.run([LAB, "start", node.name], check=True)
