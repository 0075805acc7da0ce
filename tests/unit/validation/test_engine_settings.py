"""What the real roles' settings say of Deepgram's files, read from the desk: Flux, licences, types of known keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from dgctl.base.errors import Problem
from tests.unit import conftest, validating
from tests.unit.conftest import write

MAIN = "group_vars/all/main.yml"
EN = "https://m.example/flux-general-en.en.streaming.6e5fc14.dg"
MULTI = "https://m.example/flux-general-multi.multi.streaming.6e5fc14.dg"


@pytest.fixture(autouse=True)
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    return folder


def problems(*settings: str, links: tuple[str, ...] = ()) -> list[Problem]:
    """Of the deployment of two nodes with these lines in its main file, and these links in place of its own."""
    text = "deepgram_models_links:\n" + "".join(f"  - {link}\n" for link in links) if links else conftest.MAIN
    Path(MAIN).write_text(text + "".join(f"{line}\n" for line in settings))
    return validating.problems()


@pytest.mark.parametrize(
    ("links", "settings", "what", "fix"),
    [
        ((), [], "no link of deepgram_models_links is of a Flux model", "flux-general-en or flux-general-multi"),
        (
            ("https://m.example/nova-3-general.en.streaming.a12b345.dg",),
            ["deepgram_flux_model: flux-general-multi"],
            "no link of deepgram_models_links is of a Flux model",
            "add the link of flux-general-multi",
        ),
        ((EN, MULTI), [], "two Flux models on one server: an Engine serves one", "set deepgram_flux_model"),
        (
            (EN,),
            ["deepgram_flux_model: flux-general-multi"],
            "no link of deepgram_models_links is of the Flux model that the Engine is to serve",
            "add its link",
        ),
    ],
)
def test_a_flux_profile_has_one_flux_model(links: tuple[str, ...], settings: list[str], what: str, fix: str) -> None:
    found = problems("deepgram_profile: flux", *settings, links=links)
    assert len({problem.what for problem in found}) == 1, found
    assert what in found[0].what and fix in found[0].fix
    assert found[0].where == f"{MAIN}:{4 if settings and EN in links else 1}"


@pytest.mark.parametrize(
    ("links", "settings"),
    [
        ((EN,), []),
        ((MULTI,), []),
        ((EN, MULTI), ["deepgram_flux_model: flux-general-en"]),
        ((EN, MULTI), ["deepgram_engine_settings: {flux: {model_name: flux-general-en}}"]),
        (("https://mirror.example/model.dg",), ["deepgram_flux_model: flux-general-en"]),  # a name of your own
    ],
)
def test_one_flux_model_is_no_problem(links: tuple[str, ...], settings: list[str]) -> None:
    assert problems("deepgram_profile: flux", *settings, links=links) == []


def test_both_flux_models_are_no_matter_of_other_profiles() -> None:
    assert problems(links=(EN, MULTI)) == []


def test_a_server_needs_a_licence_server() -> None:
    nobody = "deepgram_license_upstream: []"
    write(Path("host_vars/lp1.yml"), "{}\n")  # Ansible looks for these files once in a process
    found = problems(nobody)
    assert {problem.what for problem in found} == {"no licence server: a server has nobody to ask for its licence"}
    assert found[0].where == f"{MAIN}:4" and "license_proxy" in found[0].fix
    text = Path("inventory.ini").read_text()
    write(
        Path("inventory.ini"), text.replace("[all:vars]", "[license_proxy]\nlp1 ansible_host=192.0.2.9\n\n[all:vars]")
    )
    (problem,) = problems(nobody)
    assert "a License Proxy has nobody to ask" in problem.what and problem.where == f"{MAIN}:4"
    write(Path("host_vars/lp1.yml"), "license_proxy_servers: [https://a.example, https://b.example]\n")
    (problem,) = problems(nobody)
    assert "one server" in problem.what and problem.where == "host_vars/lp1.yml:1"
    write(Path("host_vars/lp1.yml"), "license_proxy_servers: [https://a.example]\n")
    assert problems(nobody) == []


@pytest.mark.parametrize(
    ("setting", "key", "fix"),
    [
        ("deepgram_engine_settings: {flux: {max_streams: '25'}}", "flux.max_streams", "write 25 without quotes"),
        ("deepgram_engine_settings: {max_active_requests: '40'}", "max_active_requests", "write 40 without quotes"),
        ("deepgram_engine_settings: {max_active_requests: 1.5}", "max_active_requests", "give a whole number"),
        (
            "deepgram_engine_settings: {health: {gpu_required: 'yes'}}",
            "health.gpu_required",
            "write true without quotes",
        ),
        (
            "deepgram_engine_settings: {chunking: {streaming: {step: '0.5'}}}",
            "chunking.streaming.step",
            "write 0.5 without",
        ),
        (
            "deepgram_engine_settings: {model_manager: {search_paths: /models}}",
            "model_manager.search_paths",
            "give a list",
        ),
        ("deepgram_engine_settings: {flux: true}", "flux", "give a mapping"),
        ("deepgram_api_settings: {server: {fetch_timeout: 60}}", "server.fetch_timeout", 'such as "60s"'),
        (
            "deepgram_api_settings: {concurrency_limit: {active_requests: '5'}}",
            "concurrency_limit.active_requests",
            "write 5",
        ),
        ("deepgram_api_settings: {server: {port: true}}", "server.port", "give a whole number"),
        ("deepgram_api_driver: {retry_sleep: 5}", "retry_sleep", 'such as "5s"'),
        ("deepgram_api_driver: {timeout_backoff: '1.5'}", "timeout_backoff", "write 1.5 without quotes"),
        ("license_proxy_settings: {server: {status_port: '8080'}}", "server.status_port", "write 8080 without quotes"),
        (
            "deepgram_api_settings: {driver_pool: {standard: [{url: 'https://e:8080/v2', timeout_backoff: '2'}]}}",
            "driver_pool.standard[0].timeout_backoff",
            "write 2 without quotes",
        ),
        (
            "deepgram_api_settings: {driver_pool: {standard: [{retry_sleep: 5s}]}}",
            "driver_pool.standard[0]",
            "put timings for all Engines into deepgram_api_driver",
        ),
        (
            "deepgram_api_settings: {features: {disk_buffer_path: /buffer}}",
            "features.disk_buffer_path",
            "give the server's directory in deepgram_api_disk_buffer_dir",
        ),
    ],
)
def test_a_known_key_of_another_type_is_refused(setting: str, key: str, fix: str) -> None:
    (problem,) = problems(setting)
    assert problem.what.startswith(f"{setting.split(':')[0]}: {key} ") and fix in problem.fix, problem
    assert problem.where == f"{MAIN}:4"


def test_text_of_an_ini_file_is_refused_at_its_line() -> None:
    inventory = Path("inventory.ini")
    text = inventory.read_text()
    inventory.write_text(
        text.replace("192.0.2.12", '192.0.2.12 deepgram_engine_settings=\'{"max_active_requests": "25"}\'')
    )
    (problem,) = problems()
    assert problem.where == "inventory.ini:3" and problem.value == '"25"' and "write 25 without quotes" in problem.fix


def test_the_line_is_that_of_the_key() -> None:
    found = problems("deepgram_engine_settings:", "  flux:", "    enabled: true", "    max_streams: '25'")
    assert [problem.where for problem in found] == [f"{MAIN}:7"]


def test_known_keys_of_their_types_pass() -> None:
    assert problems("deepgram_engine_settings: {max_active_requests: 9, chunking: {streaming: {step: 1}}}") == []
    assert problems("deepgram_engine_settings: {health: null, features: {multichannel: null}}") == []
    assert (
        problems("deepgram_engine_settings: {half_precision: {state: disabled}, preload_models: {models: [a]}}") == []
    )
    assert (
        problems("deepgram_api_settings: {server: {fetch_timeout: 2m}, voice_agent: {llm_providers: {x: {y: z}}}}")
        == []
    )
    assert problems("deepgram_api_driver: {retry_sleep: 1m 30s}") == []


# Wrong -> (key, fix, the same as it is right).
SLIPS = [
    ("deepgram_engine_settings: {flux: {max_stream: 25}}", "flux.max_stream", "did you mean flux.max_streams?"),
    ("deepgram_engine_settings: {featurs: {multichannel: true}}", "featurs", "did you mean features?"),
    ("deepgram_engine_settings: {max_active_request: 4}", "max_active_request", "did you mean max_active_requests?"),
    ("deepgram_engine_settings: {features: {step: 1}}", "features.step", "did you mean chunking.streaming.step?"),
    ("deepgram_engine_settings: {own: {key: 5}}", "own", "a key newer than this dgctl goes into deepgram_engine_extra_settings"),
    ("deepgram_api_settings: {server: {fetch_timeot: 2m}}", "server.fetch_timeot", "did you mean server.fetch_timeout?"),
    ("deepgram_api_settings: {feature: {listen_v2: true}}", "feature", "goes into deepgram_api_extra_settings"),
    ("deepgram_api_driver: {retry_slep: 5s}", "retry_slep", "did you mean retry_sleep? A key newer"),
    ("deepgram_api_driver: {own: 5s}", "own", "goes into deepgram_api_driver_extra"),
    ("license_proxy_settings: {server: {status_prt: 8080}}", "server.status_prt", "did you mean server.status_port?"),
    ("license_proxy_settings: {own: 1}", "own", "goes into license_proxy_extra_settings"),
    (
        "deepgram_api_settings: {driver_pool: {standard: [{url: 'https://e:8080/v2', retry_backof: 2}]}}",
        "driver_pool.standard[0].retry_backof",
        "did you mean driver_pool.standard[].retry_backoff?",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "key", "fix"), SLIPS)
def test_an_unknown_key_is_refused_with_the_nearest_name(setting: str, key: str, fix: str) -> None:
    (problem,) = problems(setting)
    assert problem.what.startswith(f"{setting.split(':')[0]}: {key} is no known key of "), problem
    assert fix in problem.fix and problem.where == f"{MAIN}:4"


ENGINE = "deepgram_engines: [{name: a, gpus: ['nvidia.com/gpu=0'], %s}]"


def test_the_settings_of_one_of_several_engines_are_checked_too() -> None:
    (problem,) = problems(ENGINE % "settings: {featurs: {multichannel: true}}")
    assert problem.what == "deepgram_engines[0].settings: featurs is no known key of engine.toml"
    assert "did you mean features? A key newer than this dgctl goes into extra_settings beside it" in problem.fix
    assert problem.where == f"{MAIN}:4"
    (problem,) = problems(ENGINE % "settings: {chunking: {streaming: {step: '1'}}}")
    assert "chunking.streaming.step must be a number" in problem.what and "write 1 without quotes" in problem.fix
    assert problems(ENGINE % "extra_settings: {featurs: {multichannel: true}}") == []


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("deepgram_engine_settings: {server: {max_active_requests: 40}}", "max_active_requests"),
        ("deepgram_engine_extra_settings: {flux: {max_active_requests: 40}}", "max_active_requests"),
        ("deepgram_engine_extra_settings: {max_streams: 25}", "flux.max_streams"),
        ("deepgram_api_settings: {server: {active_requests: 40}}", "concurrency_limit.active_requests"),
        (ENGINE % "extra_settings: {health: {max_active_requests: 40}}", "max_active_requests"),
    ],
)
def test_a_limit_behind_another_table_is_refused(setting: str, place: str) -> None:
    (problem,) = problems(setting)
    assert "it would limit nothing" in problem.what and problem.fix == f"write it as {place}"
    assert problem.where == f"{MAIN}:4"


def test_keys_of_the_future_pass_as_extra_settings_and_known_ones_keep_their_types_there() -> None:
    assert problems("deepgram_engine_extra_settings: {own: {key: '5', max_active_requests: 3}}") == []
    assert problems("deepgram_api_driver_extra: {own: '1'}") == []
    assert problems("license_proxy_extra_settings: {own: {key: '5'}}") == []
    (problem,) = problems("deepgram_engine_extra_settings: {flux: {max_streams: '25'}}")
    assert "write 25 without quotes" in problem.fix


def test_streams_of_flux_without_a_limit_are_said(dgctl: Callable[..., CompletedProcess[str]]) -> None:
    assert problems("deepgram_profile: flux", links=(MULTI,)) == []
    reported = dgctl("validate", "inventory.ini")
    assert reported.returncode == 0
    assert "hint: deepgram_flux_max_streams is not set, and production needs it (gpu1, gpu2): ask" in reported.stdout
    (hint,) = json.loads(dgctl("validate", "inventory.ini", "--json").stdout)["hints"]
    assert "Account Representative" in hint["fix"] and hint["where"] == "gpu1, gpu2"
    assert problems("deepgram_profile: flux", "deepgram_flux_max_streams: 25", links=(MULTI,)) == []
    reported = dgctl("validate", "inventory.ini")
    assert reported.returncode == 0 and "hint" not in reported.stdout
    (problem, *_) = problems("deepgram_profile: flux", "deepgram_flux_max_streams: 0", links=(MULTI,))
    assert "deepgram_flux_max_streams must be 1 or more" in problem.what
