"""Runs the suite over hosts in a pytest of its own, and turns what it reports into Checks."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from dgctl import content
from dgctl.base import scratch
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.deployment.deployment import ALONE, Deployment
from dgctl.output.progress import Progress
from dgctl.output.report import FAIL, REACHABLE, Check
from dgctl.verify import causes
from dgctl.verify.plugin import EVENTS, PLAN, SECRETS

HERE = Path(__file__).resolve().parent
CHECKS = HERE / "checks"
MAX_WORKERS = 16
# From the ground up: the first failure in this order is the likeliest cause of those after it.
SUBJECTS = (
    *("reachable", "driver", "gpu", "fabric", "toolkit", "cdi", "health", "containers", "config"),
    *("billing", "license_proxy", "engine", "models", "api", "ports", "tls", "upstreams", "transcription"),
)
# No single check takes this long (s), nor does pytest's end: beyond it hangs.
STALL_S, EXIT_S = 600, 60
STALLED = -99
# Ends of a pytest run that mean "every check was made": all passed, some failed.
_COMPLETE = (0, 1)


def run(
    deployment: Deployment,
    hosts: list[str],
    progress: Progress,
    log: Path | None = None,
    suite: Path = CHECKS,
) -> list[Check]:
    """Makes every check on `hosts`; pytest's own output goes to the file `log`.

    Passwords for the connection go to the workers through their environment. Raises DgctlError when pytest itself broke.
    """
    if not hosts:
        return []
    with scratch.folder("verify") as folder:
        environment = _plan(folder, deployment, hosts)
        output = log or folder / "pytest.log"
        with _append_privately(output) as sink:
            checks, status = _pytest(_arguments(suite, len(hosts), folder), environment, sink, progress)
        if status not in _COMPLETE:
            raise DgctlError(_broken(output, status), Exit.BUG)
    return causes.fold(_in_order(checks, hosts))


def _arguments(suite: Path, hosts: int, folder: Path) -> list[str]:
    """pytest with this suite and these plugins only: no conftest, no cache, nothing of the user's.

    Its workers ask for a temporary folder; of the usual one pytest first deletes what others left there, for minutes at worst.
    """
    workers = min(hosts, 4 * (os.cpu_count() or 1), MAX_WORKERS)
    parallel = (
        ["-p", "xdist", "-n", str(workers), "--dist", "loadscope", "--max-worker-restart=0"] if workers > 1 else []
    )
    return [
        *(
            sys.executable,
            "-m",
            "pytest",
            "-c",
            str(HERE / "pytest.ini"),
            f"--rootdir={suite}",
            "--noconftest",
        ),
        *(
            "-p",
            "no:cacheprovider",
            "-p",
            "dgctl.verify.plugin",
            "-p",
            "dgctl.verify.facts",
            "--import-mode=importlib",
            "--assert=plain",
            f"--basetemp={folder / 'pytest'}",
        ),
        *("-rA", "--tb=short", "--color=no", *parallel),
        *(str(path) for path in sorted(suite.glob("test_*.py"), key=_place)),
    ]


def _place(path: Path) -> tuple[int, str]:
    subject = path.stem.removeprefix("test_")
    return SUBJECTS.index(subject) if subject in SUBJECTS else len(SUBJECTS), subject


def _plan(folder: Path, deployment: Deployment, hosts: list[str]) -> dict[str, str]:
    """Writes the plan, which holds no secret, and returns the environment for pytest, which does."""
    from dgctl.base.ssh import ASKPASS, route
    from dgctl.verify import topology

    engines = topology.asked(deployment)
    apis = _asked_by(deployment, engines)
    plan: dict[str, Any] = {"askpass": str(folder / "askpass"), "hosts": {}, "others": {}}
    secrets = {}
    known = {key: deployment.hosts[host] for host in deployment.hosts for key in topology.keys(deployment.hosts[host])}
    own = [key for host in hosts for key in topology.keys(deployment.hosts[host])]
    asked = ((key, name) for key in own for name in (*engines.get(key, {}).values(), *apis.get(key, ())))
    others = dict.fromkeys(name for key, name in asked if name not in ("", key))
    for number, key in enumerate(dict.fromkeys([*own, *others])):
        host = known[key]
        stack = topology.keys(host)[key]
        licence = [part for part in host.parts if part in ALONE and key == host.name]
        # A number, because the path of a socket may not be long.
        way, secrets[key] = route(host.vars, host.address, content.root() / "ansible.cfg", folder / str(number))
        planned = {
            "groups": topology.groups(deployment, host, engines.get(key), key),
            "host": host.name,
            "parts": [*(stack.parts if stack else []), *licence],
            "address": host.address,
            "number": number,
            "socket": str(folder / str(number)),
            "tunnel": str(folder / f"{number}.tls"),
            "route": way.as_dict(),
            "desired": topology.desired_state(deployment, host, stack),
            "engines": engines.get(key, {}),
            "apis": apis.get(key, {}),
        }
        plan["others"] |= {key: planned} if key in others else {}
        plan["hosts"] |= {key: planned} if number < len(own) else {}
    _write_privately(folder / "plan.json", json.dumps(plan, default=str), 0o600)
    _write_privately(folder / "askpass", ASKPASS, 0o700)
    dropped = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST")
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    here = {"PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))}
    ours = {PLAN: str(folder / "plan.json"), SECRETS: json.dumps({k: v for k, v in secrets.items() if v})}
    return inherited | here | ours | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _asked_by(deployment: Deployment, engines: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Key of an Engine without an API -> {key of an API that asks it: the Engine's address there}."""
    found: dict[str, dict[str, str]] = {}
    for api, asked in engines.items():
        for address, key in asked.items():
            if key and "api" not in deployment.hosts[key.partition("/")[0]].parts:
                found.setdefault(key, {})[api] = address
    return found


def _pytest(
    arguments: list[str], environment: dict[str, str], sink: IO[bytes], progress: Progress
) -> tuple[list[Check], int]:
    """Runs pytest and hears its findings from a pipe as they come; returns them and its exit status."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        arguments,
        env=environment | {EVENTS: str(writing)},
        pass_fds=[writing],
        cwd=tempfile.gettempdir(),
        stdin=subprocess.DEVNULL,
        stdout=sink,
        stderr=subprocess.STDOUT,
    )
    os.close(writing)
    checks = []
    try:
        for line in _lines(reading):
            checks.append(_of_host(Check(**json.loads(line))))
            _tell(progress, checks[-1])
        return checks, process.wait(EXIT_S)
    except (TimeoutError, subprocess.TimeoutExpired):
        return checks, STALLED
    finally:
        os.close(reading)
        # Interrupted or stalled: pytest goes with us. Its workers end when it does.
        if process.poll() is None:
            process.kill()
            process.wait()


def _lines(descriptor: int) -> Iterator[bytes]:
    """The lines of a pipe until its other end is closed. Raises TimeoutError when none comes for STALL_S."""
    rest = b""
    while True:
        if not select.select([descriptor], [], [], STALL_S)[0]:
            raise TimeoutError
        data = os.read(descriptor, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def _of_host(check: Check) -> Check:
    """A check of one of several Engines is its host's, under the name of the component."""
    host, _, component = check.host.partition("/")
    return replace(check, host=host, check=f"{check.check} ({component})") if component else check


def _tell(progress: Progress, check: Check) -> None:
    state = {True: "unreachable"}.get(check.check == REACHABLE and check.verdict == FAIL, "running")
    progress.host(check.host, "failed" if check.verdict == FAIL and state == "running" else state, check.check)


def _in_order(checks: list[Check], hosts: list[str]) -> list[Check]:
    """By host as the inventory has them; within a host in the order in which the checks were made."""
    return sorted(checks, key=lambda check: hosts.index(check.host) if check.host in hosts else len(hosts))


def _broken(log: Path, status: int) -> Problem:
    if status == STALLED:
        return Problem("the checks stopped half way", str(log), f"nothing for {STALL_S} s", "run verify again")
    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
    return Problem(
        "the checks could not be run",
        str(log),
        f"pytest exit {status}: {last[0]}",
        "this is a bug in dgctl: send the log",
    )


def _append_privately(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _write_privately(path: Path, content: str, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(content)
