"""`dgctl bench`: whom it measures, whom it refuses to, and what it leaves."""

import json
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from dgctl.base.errors import DgctlError, Exit
from dgctl.bench import picture, questions, result, way
from dgctl.bench.job import FLUX, LISTEN, STREAMS
from dgctl.bench.result import Result
from dgctl.bench.search import Found, Unsteady
from dgctl.bench.window import Window
from dgctl.cli import main
from dgctl.deployment import deployment as deployments
from dgctl.deployment.fleet import Member
from dgctl.deployment.vault import VaultOptions
from dgctl.rollout import provisioning
from dgctl.verbs import bench
from dgctl.verify.tls import Proxy
from tests.bench.delayed import delayed
from tests.unit.called import called
from tests.unit.conftest import folder  # noqa: F401 - a deployment of gpu1 and gpu2

PROXIED = "[proxy]\nlb1 ansible_host=192.0.2.5\n"
MODELS = """\
deepgram_models_links:
  - https://m.example.com/nova-3-general.en.batch.a1b2.dg
  - https://m.example.com/nova-3-general.en.streaming.a1b2.dg
"""


@pytest.fixture
def here(folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    Path("inventory.ini").write_text(PROXIED + Path("inventory.ini").read_text())
    settings = Path("group_vars/all/main.yml")
    retained = settings.read_text().split("deepgram_models_links")[0]
    settings.write_text(retained + MODELS)
    return folder


def deployment():
    return deployments.load(Path("inventory.ini"), VaultOptions())


def drained(*names, of=("gpu1", "gpu2")):
    return {name: Member(name, {"lb1": "drained" if name in names else "up"}, "operator") for name in of}


def refused(function, *arguments):
    with pytest.raises(DgctlError) as error:
        function(*arguments)
    return error.value


def test_drained_servers_are_measured_where_none_is_named(here):
    assert bench.chosen(deployment(), drained("gpu2"), ()) == ["gpu2"]
    assert bench.chosen(deployment(), drained(), ("gpu1", "gpu1")) == ["gpu1"]
    assert refused(bench.chosen, deployment(), drained(), ()).exit_code == Exit.USAGE
    (problem,) = refused(bench.chosen, deployment(), drained(), ("gpu3",)).problems
    assert "did you mean gpu" in problem.fix


def test_a_serving_server_is_refused_with_the_drain_command(here):
    session = called("bench", Path("inventory.ini"), hosts=("gpu1", "gpu2"))
    error = refused(bench.require_drained, session, deployment(), drained("gpu2"), ["gpu1", "gpu2"])
    (problem,) = error.problems
    assert (error.exit_code, problem.where) == (Exit.HALTED, "gpu1")
    assert problem.fix == "dgctl drain inventory.ini gpu1"


def test_a_server_without_a_proxy_before_it_is_refused(here):
    session = called("bench", Path("inventory.ini"), hosts=("gpu1",))
    error = refused(bench.require_drained, session, deployment(), {}, ["gpu1"])
    assert error.exit_code == Exit.HALTED and "--yes-serving" in error.problems[0].fix


def test_what_is_asked_follows_from_the_models(here):
    host = deployment().hosts["gpu1"]
    path, query = questions.question(deployment(), host, "streams")
    assert (path, query["model"], query["language"]) == (LISTEN, "nova-3-general", "en")


def test_flux_is_asked_for_streams_alone(here):
    Path("host_vars").mkdir()
    Path("host_vars/gpu2.yml").write_text(
        "deepgram_profile: flux\ndeepgram_models_links: [https://m.example.com/flux-general-en.en.streaming.x.dg]\n"
    )
    path, query = questions.question(deployment(), deployment().hosts["gpu2"], "streams")
    assert (path, query["model"]) == (FLUX, "flux-general-en")
    error = refused(questions.question, deployment(), deployment().hosts["gpu2"], "files")
    assert error.exit_code == Exit.USAGE and "--streams" in error.problems[0].fix


def found(lower=40, upper=41, **changes):
    windows = [
        Window(load, 30.0, load * 30, 0.1 + load / 140, p95_s=0.2 + load / 100) for load in (4, 8, 16, 32, 64, 40, 41)
    ]
    return Found(lower, upper, "414 ms in the mean", sustained=True, windows=windows, **changes)


def done(**changes):
    return Result(
        "gpu1", STREAMS, "20261130T080000Z", found(**changes), {"release": "release-260812", "gpus": "Tesla T4"}
    )


def test_the_advice():
    lines = result.advice(done(), 4, {"deepgram_target_inputs"}, False)
    assert lines[:3] == [
        "deepgram_engine_max_active_requests: 36",
        "deepgram_target_inputs: 35",
        "4 servers like it take 144 streams, 108 when one is out",
    ]
    assert result.advice(done(), 1, set(), True)[0] == "deepgram_flux_max_streams: 36"
    assert "raise deepgram_engine_max_active_requests" in result.advice(done(limited=True), 1, set(), False)[0]
    assert "--most" in result.advice(done(lower=64, upper=None), 1, set(), False)[0], "no limit from what is no limit"
    assert "doctor" in result.advice(done(lower=0), 1, set(), False)[0]


def test_the_sentence():
    assert result.sentence(done()) == "gpu1 holds 40 streams and not 41 (414 ms in the mean), slower by and by above it"
    assert "a cliff" in result.sentence(done(cliff=True))
    assert "does not hold 1 streams" in result.sentence(done(lower=0, upper=1))
    assert "more were not tried" in result.sentence(done(lower=64, upper=None))


def test_results_are_kept_and_compared(tmp_path):
    path = result.keep(done(), tmp_path / "bench")
    document = json.loads(path.read_text())
    assert (document["holds"], document["fails"], document["shape"]) == (40, 41, "smooth") and len(
        document["windows"]
    ) == 7
    assert result.last("gpu1", STREAMS, tmp_path / "bench") == 40
    assert (
        result.last("gpu", STREAMS, tmp_path / "bench") is None
        and result.last("gpu1", "files", tmp_path / "bench") is None
    )
    (tmp_path / "bench/20991130T080000Z-gpu1-streams.json").write_text("torn")
    assert result.last("gpu1", STREAMS, tmp_path / "bench") == 40


def test_the_picture_has_every_window_the_bound_and_the_boundary():
    drawing = ET.fromstring(picture.svg(done()))
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}circle"))) == 2 * 7
    assert "400 ms mean" in texts and "holds 40" in texts and "gpu1: latency over streams" in texts
    assert ET.fromstring(picture.svg(Result("<a&b>", STREAMS, "x", Found()))) is not None, "also where there is nothing"


def run(monkeypatch, port, *words):
    @contextmanager
    def direct(host, folder, secured=None):  # noqa: F811
        yield Proxy("127.0.0.1", port, "localhost", plain=True)

    about = {"release": "release-260812", "profile": "stt", "gpus": "Tesla T4"}
    monkeypatch.setattr(way, "to_api", direct)
    monkeypatch.setattr(bench, "seen", lambda work, hosts: dict.fromkeys(hosts, about))
    monkeypatch.setattr(provisioning, "seen_by_proxies", lambda work: drained("gpu2"))
    monkeypatch.setattr(
        bench, "Job", lambda *given, **more: bench_job(*given, **more | {"ramp_s": 0.5, "warmup_s": 0.5})
    )
    return CliRunner().invoke(main, ["bench", "inventory.ini", "--window", "5", "--sustain", "10", *words])


bench_job = bench.Job


@pytest.mark.usefixtures("steady")
def test_a_bench_from_end_to_end(here, monkeypatch):
    """A server with a limit of 3 streams: found, told from the GPU's capacity, kept."""
    with delayed(0.1, limit=3) as (port, _server):
        ended = run(monkeypatch, port, "--json")
    assert ended.exit_code == 0, ended.output
    reported = json.loads(ended.stdout)["hosts"]["gpu2"]["status"]["bench"]
    assert (reported["holds"], reported["fails"], reported["limited"], reported["sustained"]) == (3, 4, True, True)
    assert "raise deepgram_engine_max_active_requests" in reported["advice"][0]
    retained = Path(reported["file"])
    assert retained.parent == here / ".dgctl/bench" and retained.with_suffix(".svg").exists()


def test_a_server_that_changes_meanwhile_gives_no_number(here, monkeypatch):
    def changes(_search):
        raise Unsteady("100 ms in the mean at 4 before, and 210 ms afterwards")

    monkeypatch.setattr(bench.Search, "run", changes)
    ended = run(monkeypatch, 9)
    assert ended.exit_code == 6 and "gpu2 changed while it was measured" in ended.output
    assert "210 ms afterwards" in ended.output and "dgctl doctor inventory.ini --limit gpu2" in ended.output
    assert not (here / ".dgctl/bench").exists()


def test_serving_servers_and_both_kinds_are_refused_before_anything_is_asked(here, monkeypatch):
    ended = run(monkeypatch, 9, "gpu1")
    assert ended.exit_code == 6 and "dgctl drain inventory.ini gpu1" in ended.output
    assert run(monkeypatch, 9, "gpu2", "--streams", "--files").exit_code == 2
