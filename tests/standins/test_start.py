"""How the stand-ins start, and the traps on the way: the same ones that the real programs have."""

from __future__ import annotations

import json
import shutil
import socket
import time
from datetime import UTC, datetime, timedelta

import pytest

from dgctl import content
from lab.deepgram.programs.logs import FORMS, NAMELESS
from tests.ports import free_port

from .bench import get

deepgram_log = content.module(content.root(), "deepgram.log")
LOADER = "error while loading shared libraries: libcuda.so.1: cannot open shared object file: No such file"


def only_reads(bench, **sections) -> str:
    """An Engine configuration for tests that end before anything listens."""
    return bench.config("engine-start.toml", {"license": bench.license_section, **sections})


def test_first_line_says_simulated(pair):
    for program in pair:
        assert "SIMULATED Deepgram" in program.lines[0]


def test_missing_config_falls_back_and_starts(bench, tmp_path):
    """The bundled configuration of this image is at work, and only a log line tells."""
    port = free_port()
    bundled = bench.files / "bundled"
    bundled.mkdir()
    (bundled / "api.toml").write_text(f"[server]\nhost = '127.0.0.1'\nport = {port}\n")
    try:
        api = bench.run("stem", "-v", "serve", str(tmp_path / "api.toml"))
        line = api.wait_for("Configuration file not found at")
        assert f"{tmp_path}/api.toml. Falling back to default/bundled configuration" in line
        api.wait_for("Listening on http")
        api.ports = {"http": port}
        assert get(api, "/v1/status").json()["system_health"] == "Initializing"
        assert get(api, "/v1/status/engine").json()["engine_connection_status"] == "Disconnected"
    finally:
        shutil.rmtree(bundled)


def test_key_after_a_table_header_is_swallowed(bench):
    limits = {}
    for name, text in {
        "first": "max_active_requests = 7\n[features]\n",
        "late": "[features]\nmax_active_requests = 7\n",
    }.items():
        work, metrics = free_port(), free_port()
        rest = f"""
            [license]
            server_url = ["http://127.0.0.1:{bench.license_port}"]
            [server]
            host = "127.0.0.1"
            port = {work}
            [metrics_server]
            host = "127.0.0.1"
            port = {metrics}
            [model_manager]
            search_paths = ["{bench.models}"]
        """
        path = bench.directory / f"{name}.toml"
        path.write_text(text + rest)
        engine = bench.run("impeller", "-v", "serve", str(path))
        engine.wait_for("Listening on http")
        engine.ports = {"metrics": metrics}
        lines = get(engine, "/metrics", "metrics").text.splitlines()
        limits[name] = next(line for line in lines if line.startswith("engine_max_active_requests "))
        engine.kill()
    assert limits == {"first": "engine_max_active_requests 7", "late": "engine_max_active_requests 0"}


@pytest.mark.parametrize("hide", ["nvidia-smi fails", "no device node", "CUDA_VISIBLE_DEVICES", "old driver"])
def test_hidden_gpu(bench, hide, tmp_path):
    """Without a usable GPU the Engine runs on the CPU, unless `gpu_required`: then it ends."""
    changes = {}
    if hide == "nvidia-smi fails":
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
        changes["PATH"] = f"{tmp_path}:{bench.environment()['PATH']}"
    elif hide == "no device node":
        changes["STANDIN_DEV"] = str(tmp_path)
    elif hide == "CUDA_VISIBLE_DEVICES":
        changes["CUDA_VISIBLE_DEVICES"] = "-1"
    else:
        shutil.copytree(bench.files, tmp_path / "files")
        about = json.loads((bench.files / "release.json").read_text())
        (tmp_path / "files" / "release.json").write_text(json.dumps({**about, "driver_floor": "590"}))
        changes["STANDIN_FILES"] = str(tmp_path / "files")
    engine = bench.run("impeller", "-v", "serve", only_reads(bench, health={"gpu_required": True}), **changes)
    assert engine.ended() == 1
    assert "GPU required" in engine.output
    engine = bench.run("impeller", "-v", "serve", only_reads(bench), **changes)
    assert engine.wait_for("Using devices").endswith("impeller::config: Using devices: CPU")
    engine.kill()


def test_gpu_is_named(pair):
    assert pair[0].wait_for("Using devices").endswith(" INFO impeller::config: Using devices: Gpu(0)")


def test_without_libcuda_the_loader_ends_it(bench):
    engine = bench.run("impeller", "-v", "serve", only_reads(bench), LD_LIBRARY_PATH=None)
    assert engine.ended() == 127
    assert LOADER in engine.output


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["-v", "serve", "--log-format=json", "x"], "error: unexpected argument '--log-format' found"),
        (["-v", "--log-format=xml", "serve", "x"], "error: invalid value 'xml'"),
        (["--json", "--log-format=full", "serve", "x"], "cannot be used with"),
        (["-v"], "requires a subcommand"),
        (["serve"], "expected one <CONFIG>"),
    ],
)
def test_wrong_arguments(bench, arguments, reported):
    api = bench.run("stem", *arguments)
    assert api.ended() == 2
    assert reported in api.output


def test_json_lines(bench):
    api = bench.run("stem", "-v", "--log-format=json", "serve", bench.config("x.toml", {}), DEEPGRAM_API_KEY=None)
    assert api.ended() == 1
    for line in api.lines:
        assert {"timestamp", "level", "target", "message"} <= json.loads(line).keys()


def test_missing_key(bench):
    api = bench.run("stem", "-v", "serve", bench.config("x.toml", {}), DEEPGRAM_API_KEY=None)
    assert api.ended() == 1
    assert "Missing license configuration" in api.output


def test_wrong_key_is_refused_and_never_logged(bench):
    wrong = "a-wrong-key"
    config = bench.config("x.toml", {"license": bench.license_section})
    api = bench.run("stem", "-v", "serve", config, DEEPGRAM_API_KEY=wrong)
    assert api.ended() == 1
    assert f"Aegis request to http://127.0.0.1:{bench.license_port} failed: 401 Unauthorized" in api.output
    bench.license_server.wait_for("refused stem")
    assert wrong not in bench.license_server.output + api.output


def test_key_from_the_file(bench):
    """The older way, and the one without a network: `[license] key`."""
    section = {**bench.license_section, "key": bench.key_file.read_text().strip()}
    config = bench.config("x.toml", {"license": section, "server": {"host": "127.0.0.1", "port": free_port()}})
    api = bench.run("stem", "-v", "serve", config, DEEPGRAM_API_KEY=None)
    api.wait_for("Listening on http")
    api.kill()


def test_licence_servers_in_their_order(bench):
    closed = f"http://127.0.0.1:{free_port()}"
    section = {"server_url": [closed, *bench.license_section["server_url"]]}
    config = bench.config("x.toml", {"license": section, "server": {"host": "127.0.0.1", "port": free_port()}})
    api = bench.run("stem", "-v", "serve", config)
    api.wait_for("Listening on http")
    assert f"Aegis request to {closed} failed: Connection refused" in api.output
    api.kill()


def test_unreachable_licence_server(bench):
    section = {"server_url": ["https://license.invalid"]}
    api = bench.run("stem", "-v", "serve", bench.config("x.toml", {"license": section}))
    api.wait_for("Aegis request to https://license.invalid failed: dns error")
    api.signal()
    assert api.ended() == 0  # a stop signal is heard while it still tries


def test_past_end_of_life(bench, tmp_path):
    shutil.copytree(bench.files, tmp_path / "files")
    about = json.loads((bench.files / "release.json").read_text())
    about["beginning_of_support"] = (datetime.now(UTC) - timedelta(days=1200)).isoformat()
    (tmp_path / "files" / "release.json").write_text(json.dumps(about))
    api = bench.run("stem", "-v", "serve", bench.config("x.toml", {}), STANDIN_FILES=str(tmp_path / "files"))
    assert api.ended() == 1
    assert "Certificates have expired" in api.output


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("[server\n", "Unable to parse configuration file"),
        ("[server]\nport = 'x'\n", "invalid type for key `server.port`"),
        ("[[driver_pool.standard]]\nurl = 'http://engine:8080/v2'\n", "url must be https"),
    ],
)
def test_wrong_config(bench, text, reported):
    path = bench.directory / "wrong.toml"
    path.write_text(text + f"[license]\nserver_url = ['http://127.0.0.1:{bench.license_port}']\n")
    api = bench.run("stem", "-v", "serve", str(path))
    assert api.ended() == 1
    assert reported in api.output


def test_port_in_use(bench):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = {"host": "127.0.0.1", "port": taken.getsockname()[1]}
        config = bench.config("x.toml", {"license": bench.license_section, "server": server})
        api = bench.run("stem", "-v", "serve", config)
        assert api.ended() == 1
    assert "address already in use" in api.output


@pytest.mark.parametrize("form", FORMS)
def test_models_in_every_form_of_the_log(bench, tmp_path, monkeypatch, form):
    """What deepgram_log reads of a program's own output, a model with the other suffix among them."""
    good, other = sorted(bench.models.glob("*.dg"))
    shutil.copy(good, tmp_path)
    shutil.copy(other, tmp_path / f"{other.stem}.dgv2")
    (tmp_path / "foreign.dg").write_bytes(b"\x00" * 100)
    section = {"model_manager": {"search_paths": [str(tmp_path)]}}
    engine = bench.engine(section, STANDIN_LOG_FORM=form)
    engine.wait_for("Listening on http")
    loaded, refused = deepgram_log.models(deepgram_log.events(engine.output))
    assert [any(model.serves(file) for model in loaded) for file in (good.name, f"{other.stem}.dgv2")] == [True, True]
    assert list(refused) == ([""] if form in NAMELESS else ["foreign.dg"])
    engine.kill()


@pytest.mark.parametrize("form", ["full", "compact", "pretty", "json"])
def test_log_formats_are_chosen_by_the_option(bench, form):
    config = bench.config("x.toml", {})
    api = bench.run("stem", "-v", f"--log-format={form}", "serve", config, DEEPGRAM_API_KEY=None)
    assert api.ended() == 1
    (line,) = [line for line in deepgram_log.events(api.output) if "Missing license configuration" in line]
    assert "ERROR stem::config: Missing license configuration" in line
    assert line in api.output or form in ("pretty", "json")


def test_bad_model_files(bench, tmp_path):
    """They are reported with their path; the others serve. A file that comes later is loaded."""
    good = sorted(bench.models.glob("*.dg"))
    for source in good:
        shutil.copy(source, tmp_path)
    damaged = bytearray(good[0].read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "damaged.dg").write_bytes(damaged)
    (tmp_path / "short.dg").write_bytes(good[0].read_bytes()[:-1])
    (tmp_path / "foreign.dgv2").write_bytes(b"\x00" * 100)
    (tmp_path / "half.partial").write_bytes(b"")
    engine = bench.engine({"model_manager": {"search_paths": [str(tmp_path), "/nowhere"]}})
    engine.wait_for("Listening on http")
    for name in ("damaged.dg", "short.dg", "foreign.dgv2"):
        where = f" WARN load_model{{path={tmp_path}/{name}}}: impeller::model_suppliers::autoload: Failed to load model err="
        assert where in engine.output
    assert engine.output.count("Failed to load model") == 3
    assert engine.output.count('Inserting model key=AsrKey { name: "nova-3-general", version: ') == len(good)
    assert "Unable to read model search path /nowhere" in engine.output
    shutil.copy(good[0], tmp_path / "damaged.dg")
    until = time.monotonic() + 5
    while engine.output.count("Inserting model") == len(good) and time.monotonic() < until:
        time.sleep(0.05)
    assert engine.output.count("Inserting model") == len(good) + 1
    engine.kill()
