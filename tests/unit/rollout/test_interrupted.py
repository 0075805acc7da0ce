"""Runs that are interrupted, killed, or begun while another works."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dgctl.base import processes
from dgctl.base.interrupt import Interrupt
from dgctl.verbs import provision
from tests.unit.conftest import CHECKOUT
from tests.unit.local_hosts import do
from tests.unit.validating import set_variable

pytestmark = pytest.mark.usefixtures("here")
RUN = """\
import sys
from pathlib import Path
from dgctl import content
root = Path(sys.argv.pop(1))
content.root = lambda: root
from dgctl.cli import main
from dgctl.run import lease
lease.servers = lambda deployment: []  # else it lies on this machine, where other tests' runs find it
main()
"""


@pytest.fixture
def start(root: Path, folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts dgctl with the test's own roles; nothing that it starts outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        command = [sys.executable, "-c", RUN, str(root), *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=environment, text=True, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()
    processes.end_leftovers(folder / ".dgctl")


@pytest.fixture
def sleep() -> str:
    """Lets provision wait in a command that no other test runs; returns that command."""
    seconds = random.randrange(10_000, 99_999)
    set_variable(f"pause_s: {seconds}")
    return f"sleep {seconds}"


def _when(true: Callable[[], bool], then: Callable[[], None]) -> None:
    """Calls `then` as soon as `true`, or after two minutes."""
    until = time.monotonic() + 120
    while not true() and time.monotonic() < until:
        time.sleep(0.1)
    then()


def running(words: str) -> bool:
    """Whether a process of exactly these words runs on this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().replace(b"\0", b" ").decode().strip() == words:
                return True
    return False


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_a_child_that_ignores_ctrl_c_ends_all_the_same() -> None:
    script = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child, Interrupt() as stop:
        child.stdout.readline()
        interrupt()
        stop.end_children()
        assert child.wait(timeout=5) == -signal.SIGTERM


def test_interrupted_by_ctrl_c(capsys: pytest.CaptureFixture[str], sleep: str) -> None:
    started = time.monotonic()
    threading.Thread(target=_when, args=(lambda: running(sleep), interrupt), daemon=True).start()
    document = do(capsys, provision.provision, yes=True)
    assert document["exit_code"] == 130
    assert "dgctl provision inventory.ini" in document["errors"][0]["fix"]
    assert time.monotonic() - started < 30
    assert not running(sleep)
    assert not Path("a.txt").exists()


def test_what_ansible_started_after_ctrl_c_ends_too(
    capsys: pytest.CaptureFixture[str], sleep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "descendants", lambda root: set())  # none of it was there at that moment
    threading.Thread(target=_when, args=(lambda: running(sleep), interrupt), daemon=True).start()
    assert do(capsys, provision.provision, yes=True)["exit_code"] == 130
    assert not running(sleep)


def test_a_second_run_waits_for_nobody_and_names_the_first(
    start: Callable[..., subprocess.Popen[str]], sleep: str
) -> None:
    first = start("provision", "inventory.ini", "--yes")
    _when(lambda: running(sleep), lambda: None)
    second = start("provision", "inventory.ini", "--yes", "--json")
    out, _ = second.communicate(timeout=30)
    document = json.loads(out)
    assert (second.returncode, document["exit_code"]) == (9, 9)
    assert f"pid {first.pid} " in document["errors"][0]["value"]
    assert "provision inventory.ini --yes" in document["errors"][0]["value"]
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) == 130
    first.communicate()


def test_after_a_killed_run_the_next_one_ends_what_it_left(
    start: Callable[..., subprocess.Popen[str]], sleep: str
) -> None:
    first = start("provision", "inventory.ini", "--yes")
    _when(lambda: running(sleep), lambda: None)
    first.kill()
    first.communicate()
    assert running(sleep)
    text = Path("group_vars/all/main.yml").read_text().replace(sleep.split()[1], "1")
    Path("group_vars/all/main.yml").write_text(text)
    second = start("provision", "inventory.ini", "--yes", "--check")
    assert second.wait(timeout=60) == 0
    second.communicate()
    assert not running(sleep)
