"""deepgram-upstreams on a proxy of a test: its files, the health that servers tell, and what stands for NGINX."""

import importlib
import json
import sys
from types import SimpleNamespace

import pytest

from tests.roles_app.conftest import ROOT

ROLE = ROOT / "roles/nginx_proxy"
FOLDER = ROLE / "files/upstreams"


def program():
    """The program's modules, which import each other by their short names: those stay free for others."""
    names = [path.stem for path in FOLDER.glob("*.py") if path.stem != "__main__"]
    sys.path.insert(0, str(FOLDER))
    try:
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            sys.modules.pop(name, None)


PROGRAM = program()


class Nginx:
    """Stands for NGINX: refuses a list that holds a word, and notes what it was reloaded with, and after how long."""

    def __init__(self, folder):
        self.list, self.refused, self.reloads, self.waits = folder / "kept/upstreams.conf", "", [], []
        self.closing, self.slept = folder / "run/closing", 0.0

    def refusal(self):
        return "[emerg] no" if self.refused and self.refused in self.list.read_text() else ""

    def reload(self, pid):
        assert self.closing.exists(), "answers would keep their connections"
        self.reloads.append(self.list.read_text())
        self.waits.append(round(self.slept))

    def sleep(self, seconds):
        assert self.closing.exists()
        self.slept += seconds


@pytest.fixture
def proxy(tmp_path, monkeypatch):
    """A proxy's files; `says` maps an address to the health that its server tells."""
    for name, value in (
        ("CONFIG", "config.json"),
        ("KEPT", "kept"),
        ("RUN", "run"),
        ("OVERFLOW", "kept/overflow.json"),
    ):
        monkeypatch.setattr(PROGRAM.files, name, str(tmp_path / value))
    stand_in, says = Nginx(tmp_path), {}
    monkeypatch.setattr(PROGRAM.nginx, "master", lambda: 1)
    monkeypatch.setattr(PROGRAM.nginx, "refusal", stand_in.refusal)
    monkeypatch.setattr(PROGRAM.nginx, "reload", stand_in.reload)
    monkeypatch.setattr(PROGRAM.health, "ask", lambda address: (says.get(address, "Ready"), 0))
    monkeypatch.setattr(PROGRAM.nginx, "clients", lambda port: 0)
    monkeypatch.setattr(PROGRAM.nginx.time, "sleep", stand_in.sleep)
    monkeypatch.setattr(PROGRAM.nginx.time, "monotonic", lambda: stand_in.slept)

    def configure(*nodes, **more):
        fields = ("name", "address", "profile", "region", "max_connections")
        document = {"nodes": [dict(zip(fields, node)) for node in nodes], **more}
        (tmp_path / "config.json").write_text(json.dumps(document))

    def tick():
        config = PROGRAM.files.configuration()
        PROGRAM.settle.settle(config, PROGRAM.health.look_at(config["nodes"]))

    configure(("a", "192.0.2.1:8080", "stt", ""), ("b", "192.0.2.2:8080", "stt", ""))
    return SimpleNamespace(configure=configure, tick=tick, nginx=stand_in, says=says, folder=tmp_path)


def lines(proxy, profile="stt"):
    """Name -> the words of its server line in one upstream."""
    text = proxy.nginx.list.read_text().partition(f"upstream deepgram_{profile} {{")[2].partition("}")[0]
    return {line.partition("# ")[2]: line.partition(";")[0].split() for line in text.splitlines() if "server " in line}


def down(proxy, profile="stt"):
    return {name for name, words in lines(proxy, profile).items() if "down" in words}
