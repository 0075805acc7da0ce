"""The load as a program of its own, beside whatever is measured."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.load.cli import STEADY

PROJECT = Path(__file__).resolve().parents[2]
CERTIFICATE = "/etc/nginx/tls/deepgram.crt"


class NoLoad(Exception):
    """The load did not begin or end as it should; the text holds its last words."""


class Beside:
    """A running load. `folder` holds its result, the certificate and what it said."""

    def __init__(self, folder: Path, name: str, *options: str):
        self._out, self._reported = folder / "load.json", folder / "load.log"
        self._out.unlink(missing_ok=True)
        self._steady = threading.Event()
        command = [sys.executable, "-m", "bench.load", name, "--out", str(self._out), *options]
        self.process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._reported.open("w") as log:
            for line in self.process.stderr:  # type: ignore[union-attr]
                log.write(line)
                log.flush()
                if STEADY in line:
                    self._steady.set()

    def steady(self, timeout_s: float = 60) -> None:
        """Returns when every stream is open and files are answered; NoLoad when that does not come."""
        if not self._steady.wait(timeout_s):
            raise NoLoad(f"the load is not steady after {timeout_s:.0f} s: {self._last_words()}")

    def seen(self) -> dict[str, Any]:
        """The result so far, at most a second old."""
        return json.loads(self._out.read_text())

    def stop(self, timeout_s: float = 120) -> dict[str, Any]:
        """Ends the load and returns its result; what was sent is still answered."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise NoLoad(f"the load has not ended after {timeout_s:.0f} s: {self._last_words()}") from None
        self._reader.join(10)
        if self.process.returncode not in (0, 1) or not self._out.exists():
            raise NoLoad(f"the load ended with {self.process.returncode}: {self._last_words()}")
        return self.seen()

    def end(self) -> None:
        """Leaves nothing running, whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _last_words(self) -> str:
        return self._reported.read_text()[-1000:] if self._reported.exists() else ""


@contextmanager
def load(folder: Path, server: str, address: str, *options: str) -> Iterator[Beside]:
    """Load on a lab server's NGINX, steady when the block begins; `options`: of python -m bench.load."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate = folder / "deepgram.crt"
    certificate.write_bytes(
        subprocess.run(["docker", "exec", server, "cat", CERTIFICATE], check=True, capture_output=True).stdout
    )
    running = Beside(folder, server, "--address", address, "--cacert", str(certificate), *options)
    try:
        running.steady()
        yield running
    finally:
        running.end()


def lost(document: dict[str, Any]) -> str:
    """What a load lost, in a few lines: nothing when it lost nothing."""
    files, streams = document["files"], document["streams"]
    if not files["failed"] and not streams["broken"]:
        return ""
    causes: dict[str, list[float]] = {}
    for one in document["failures"]:
        causes.setdefault(f"{one['kind']} ({one['stage']}): {one['cause'][:200]}", []).append(one["at_s"])
    lines = [f"{len(at)} x {what} [{min(at):.1f} to {max(at):.1f} s]" for what, at in causes.items()]
    return f"{files['failed']} files failed, {streams['broken']} streams broken\n" + "\n".join(lines[:10])
