"""What the role brings: one program that carries what it imports, a configuration by the server's groups, a sandbox."""

import json
import subprocess
import sys

import pytest

from dgctl import content
from dgctl.content import imports, roles
from tests.paths import PROJECT
from tests.roles_app.rendering import of, render, value

PROXIES = {"proxy": {"lb1": {"ansible_host": "192.0.2.9"}, "lb2": {"deepgram_address": "10.0.0.2"}}}
sys.path.insert(0, str(PROJECT / "plugins/filter"))
import python_program  # noqa: E402

sys.path.pop(0)


def config(*groups, servers=PROXIES, **changes):
    return value("node_watch", "_node_watch_content", **of(*groups, servers=servers), **changes)


def test_a_node_behind_proxies():
    reported = config("node")
    assert reported["proxies"] == ["10.0.0.2", "192.0.2.9"] and reported["port"] == 9810
    assert reported["urls"] == {"engine": "http://127.0.0.1:9991/metrics", "api": "http://127.0.0.1:8080/v1/status"}
    assert (
        reported["apis"] == {"api": {"url": "http://127.0.0.1:8080/v1/status", "profile": "stt"}}
        and reported["gpu"] is True
    )
    policy = {
        "tries": 3,
        "backoff_s": 60,
        "drain_s": 300,
        "prove_s": 600,
        "share": 0.5,
        "when_last": False,
        "unsafe": False,
    }
    assert reported["policy"] == policy


def test_of_several_engines_each_is_watched():
    reported = config("node", deepgram_engines=[{"name": "a"}, {"name": "turns", "profile": "flux"}])
    assert list(reported["urls"]) == ["engine-a", "engine-turns", "api-stt", "api-flux"]
    assert {name: one["profile"] for name, one in reported["apis"].items()} == {"api-stt": "stt", "api-flux": "flux"}
    assert reported["engines"] == {"api-stt": ["engine-a"], "api-flux": ["engine-turns"]}


def test_a_server_alone_asks_nobody_and_an_engine_alone_has_no_api():
    assert config("node", servers={})["proxies"] == []
    reported = config("engine")
    assert (reported["proxies"], reported["apis"], list(reported["urls"])) == ([], {}, ["engine"])
    assert config("api")["gpu"] is False


@pytest.mark.parametrize(
    ("groups", "enabled", "desired"), [("node", True, True), ("node", "false", False), ("proxy", True, False)]
)
def test_where_there_is_one(groups, enabled, desired):
    assert (
        value("node_watch", "_node_watch_wanted", **of(groups, servers=PROXIES), node_watch_enabled=enabled) is desired
    )


def test_the_program_carries_all_that_it_imports():
    folder = content.utilities()
    paths = imports.closure(imports.files_of(("watch", "main"), folder), folder)
    names = {".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__") for path in paths}
    assert {name.partition("module_utils.")[2] for name in python_program.carried("watch.main")} == names


def test_the_program_runs_by_itself(tmp_path):
    path = tmp_path / "deepgram-watch"
    path.write_text(python_program.python_program("watch.main"))
    done = subprocess.run([sys.executable, "-IB", path, "report"], capture_output=True, text=True, cwd="/", check=False)
    assert json.loads(done.stdout)["reason"] == "no watchdog runs here", done.stderr
    done = subprocess.run(
        [sys.executable, "-IB", path, "silence", "--for", "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "such as 2h" in done.stderr


def test_a_change_of_what_it_carries_is_a_change_of_the_role():
    text = "content: \"{{ 'watch.main' | python_program }}\""
    (path, *_) = [one for one in roles._programs([text]) if one.name == "main.py"]
    assert path == content.utilities() / "watch/main.py"
    assert roles._programs(["{{ x | python_program }}"]) == []


def test_the_unit_keeps_the_gpus_open():
    unit = render("node_watch", "deepgram-watch.service.j2", **of("node", servers=PROXIES))
    lines = [line.partition("=")[0] for line in unit.splitlines() if line[:1] not in "#["]
    assert not {"ProtectClock", "PrivateDevices", "DeviceAllow", "DevicePolicy", "ProtectControlGroups"} & set(lines)
    assert {"NoNewPrivileges", "CapabilityBoundingSet", "SystemCallFilter", "MemoryMax", "CPUQuota"} <= set(lines)
