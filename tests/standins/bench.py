"""Starts the stand-in programs as processes on loopback; the GPU is faked by PATH and environment, only here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import tomli_w

from lab.deepgram import certificates
from lab.deepgram.models import write_model
from lab.deepgram.programs.model_file import Model
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"stem": "api", "impeller": "engine", "hermes": "license_proxy", "billing": "billing"}
KEY = "a-test-key"
MODELS = {
    "nova-3-general.en.batch.aaaaaaa.dg": Model(
        "nova-3-general",
        ["en"],
        "batch",
        "00000000-0000-4000-8000-00000000000a",
        "1",
        architecture="nova-3",
        size=5000,
    ),
    "nova-3-general.en.streaming.bbbbbbb.dg": Model(
        "nova-3-general",
        ["en"],
        "streaming",
        "00000000-0000-4000-8000-00000000000b",
        "1",
        architecture="nova-3",
        size=5000,
    ),
}


@dataclass
class Program:
    """One running program, its output, and the ports of its configuration."""

    process: subprocess.Popen
    ports: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()

    def _collect(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, seconds: float = 10) -> str:
        """The first line with `text`; fails with the whole output when it does not come."""
        until = time.monotonic() + seconds
        while True:
            over = time.monotonic() > until or not self._collector.is_alive()
            found = next((line for line in self.lines if text in line), None)
            if found is not None or over:
                break
            time.sleep(0.02)
        if found is not None:
            return found
        raise AssertionError(f"no {text!r} in:\n{self.output}")

    def ended(self, seconds: float = 10) -> int:
        """The exit status, once the program has ended and all its output is here."""
        status = self.process.wait(seconds)
        self._collector.join(seconds)
        return status

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Bench:
    """Where programs are started: release files, a fake GPU, models, a licence server; and what to stop afterwards."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.files, self.models = directory / "files", directory / "models"
        self.bin, self.dev, self.lib = directory / "bin", directory / "dev", directory / "lib"
        self.key_file = directory / "keys"
        self.running: list[Program] = []
        for path in (self.models, self.bin, self.dev, self.lib):
            path.mkdir(parents=True)
        self.license_port = free_port()
        self._release_files()
        self._gpu()
        for name, model in MODELS.items():
            write_model(self.models / name, model)
        self.key_file.write_text(KEY + "\n")
        script = ROOT / "lab" / "deepgram" / "license_server.py"
        self.license_server = self.start(
            [sys.executable, str(script), "--port", str(self.license_port), "--key-file", str(self.key_file)]
        )

    def _release_files(self) -> None:
        certificates.internal_ca(self.files)
        about = {
            "release": "release-260812",
            "versions": {"stem": "1.2.3", "impeller": "4.5.6", "hermes": "7.8.9", "billing": "1.13.1"},
            "license_server": f"http://127.0.0.1:{self.license_port}",
            "beginning_of_support": time.strftime("%Y-%m-%dT00:00:00+00:00"),
        }
        (self.files / "release.json").write_text(json.dumps(about))

    def _gpu(self) -> None:
        library = next(Path("/lib/x86_64-linux-gnu").glob("libutil.so.1"))
        shutil.copy(library, self.lib / "libcuda.so.1")  # any library will do: it is loaded, and nothing is called
        (self.dev / "nvidia0").touch()
        smi = self.bin / "nvidia-smi"
        smi.write_text(
            '#!/bin/sh\ncase "$1" in\n-L) echo "GPU 0: Tesla T4 (UUID: GPU-0001)";;\n*) echo 580.173.02;;\nesac\n'
        )
        smi.chmod(smi.stat().st_mode | stat.S_IXUSR)

    def environment(self, **changes: str | None) -> dict[str, str]:
        own = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": str(self.lib),
            "STANDIN_DEV": str(self.dev),
            "STANDIN_FILES": str(self.files),
            "DEEPGRAM_API_KEY": KEY,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        return {name: value for name, value in {**own, **changes}.items() if value is not None}

    def start(self, command: list[str], **environment: str | None) -> Program:
        process = subprocess.Popen(
            command,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
        )
        self.running.append(Program(process))
        return self.running[-1]

    def run(self, program: str, *arguments: str, **environment: str | None) -> Program:
        """Starts stem, impeller or hermes with these arguments."""
        code = (
            f"import sys; sys.argv[0] = {program!r}; from lab.deepgram.programs.{PROGRAMS[program]} import main; main()"
        )
        return self.start([sys.executable, "-c", code, *arguments], **environment)

    def config(self, name: str, document: dict) -> str:
        path = self.directory / name
        path.write_text(tomli_w.dumps(document))
        return str(path)

    @property
    def license_section(self) -> dict:
        return {"server_url": [f"http://127.0.0.1:{self.license_port}"]}

    def engine(self, changes: dict | None = None, **environment: str | None) -> Program:
        ports = {"work": free_port(), "metrics": free_port()}
        document = {
            "license": self.license_section,
            "server": {"host": "127.0.0.1", "port": ports["work"]},
            "metrics_server": {"host": "127.0.0.1", "port": ports["metrics"]},
            "model_manager": {"search_paths": [str(self.models)]},
            **(changes or {}),
        }
        document = {key: document[key] for key in sorted(document, key=lambda key: isinstance(document[key], dict))}
        program = self.run(
            "impeller", "-v", "serve", self.config(f"engine-{ports['work']}.toml", document), **environment
        )
        program.ports = ports
        return program

    def api(self, *engines: Program, changes: dict | None = None, wait: bool = True) -> Program:
        port = free_port()
        document = {
            "license": self.license_section,
            "server": {"host": "127.0.0.1", "port": port, "base_url": "/v1"},
            "driver_pool": {
                "standard": [
                    {"url": f"https://localhost:{engine.ports['work']}/v2", "retry_sleep": "20ms"} for engine in engines
                ]
            },
            **(changes or {}),
        }
        program = self.run("stem", "-v", "serve", self.config(f"api-{port}.toml", document))
        program.ports = {"http": port}
        if wait:
            program.wait_for("Connected to an Engine")
        return program

    def stop(self) -> None:
        for program in self.running:
            program.kill()


def get(program: Program, path: str, port: str = "http") -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{program.ports[port]}{path}", timeout=10)
