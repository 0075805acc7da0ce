"""Every key that the official files set, beside what the roles write: equal, or a difference with its reason in this file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dgctl.validation import settings
from tests import yaml_file
from tests.official.extract import flat
from tests.roles_app.rendering import of, render

FACTS = yaml_file.read(Path(__file__).parent / "facts.yml")
TOML = FACTS["toml"]
FLUX = "https://m/flux-general-{0}.{0}.streaming.6e5fc14.dg"
PROFILES: dict[str, dict[str, Any]] = {
    "stt": {"deepgram_profile": "stt", "deepgram_models_links": ["https://m/nova-3-general.en.streaming.a12b345.dg"]},
    "flux-en": {"deepgram_profile": "flux", "deepgram_models_links": [FLUX.format("en")]},
    "flux-multi": {"deepgram_profile": "flux", "deepgram_models_links": [FLUX.format("multi")]},
    "aura-en": {"deepgram_profile": "aura"},
    "aura-es": {"deepgram_profile": "aura", "deepgram_aura_language": "es"},
    "aura-polyglot": {"deepgram_profile": "aura", "deepgram_aura_language": "polyglot"},
    "flux-tts": {
        "deepgram_profile": "flux_tts",
        "deepgram_flux_tts_uuid": "9c3cc12c-c0a2-4966-8676-f9fa22ab5401",
        "deepgram_flux_tts_max_batch_size": 16,
    },
}
OFFICIAL = {
    "stt": {"api": "api.toml", "engine": "engine.toml"},
    "flux-en": {"api": "api.flux.toml", "engine": "engine.flux-en.toml"},
    "flux-multi": {"api": "api.flux.toml", "engine": "engine.flux-multi.toml"},
    **{
        f"aura-{name}": {"api": f"api.aura-2-{name}.toml", "engine": f"engine.aura-2-{name}.toml"}
        for name in ("en", "es", "polyglot")
    },
    "flux-tts": {"api": "api.flux-tts.toml", "engine": "engine.flux-tts.toml"},
}
PROXIES = {
    "standard_deploy": {},
    "license_proxy_deploy": {"license_proxy": {"lp1": {"deepgram_address": "license-proxy"}}},
}
# The folder for a deployment without a License Proxy has Aura's files with one.
CASES = [
    (folder, profile, file)
    for folder in PROXIES
    for profile in PROFILES
    for file in ("api", "engine")
    if (folder, profile[:4]) != ("standard_deploy", "aura")
]
NOTHING = "nothing"
# (file, profiles, key): what the role writes instead, and why. `nothing`: it leaves the key out.
DIFFERENCES: dict[tuple[str, str, str], tuple[Any, str]] = {
    ("engine", ".*", "health.gpu_required"): (
        True,
        "Deepgram advises it for production; on a CPU it is of no use",
    ),
    ("engine", ".*", "preload_models.blocking"): (NOTHING, "false is its default; nobody asks for preloading"),
    ("engine", "flux-(en|multi)", "features.use_v2_language_detection"): (
        False,
        "its default, which engine.toml writes too",
    ),
    ("engine", "flux-tts", "flux_tts.max_batch_size"): (16, "0 keeps the Engine from starting: the user's own number"),
    ("engine", "aura-(es|polyglot)", "metrics_server.port"): (
        9991,
        "the server's port is counted up, not the container's",
    ),
    ("api", "aura-en", "driver_pool.standard[0].url"): (
        "https://engine:8080/v2",
        "the one Engine of a server is called engine",
    ),
    ("api", "aura-es", "driver_pool.standard[0].url"): (
        "https://engine:8080/v2",
        "the one Engine of a server is called engine",
    ),
    ("api", "aura-polyglot", "driver_pool.standard[0].url"): (
        "https://engine:8080/v2",
        "the one Engine of a server is called engine",
    ),
}
# Keys that dgctl knows and these files do not have, with their source.
LATER = {
    "api": {"license.key", "features.listen_v2_force_end_turn", "fips.mode", "voice_agent.llm_providers"},
    "engine": {
        "license.key",
        "flux_tts.watermarker_uuid",
        "fips.mode",
        "half_precision.state",
        "preload_models.models",
    },
    "license_proxy": {"license.key", "license.server_url", "fips.mode"},
}
FILES = {"api": "api", "engine": "engine", "license-proxy": "license_proxy"}


def written(file: str, folder: str, profile: str) -> dict[str, Any]:
    values = PROFILES[profile] | of("node", servers=PROXIES[folder])
    return flat(tomllib.loads(render("deepgram", "config.toml.j2", item=file, **values)))


def bare(key: str) -> str:
    return re.sub(r"\[\d+\]", "[]", key)


@pytest.mark.parametrize(("folder", "profile", "file"), CASES)
def test_the_roles_write_what_the_official_file_sets(folder: str, profile: str, file: str) -> None:
    official = TOML[f"common/{folder}/{OFFICIAL[profile][file]}"]["set"]
    ours = written(file, folder, profile)
    expected = dict(official)
    for (its, profiles, key), (value, _why) in DIFFERENCES.items():
        if its == file and re.fullmatch(profiles, profile):
            assert official.get(key, NOTHING) != value, f"{key} is no difference any more"
            expected[key] = value
    assert ours == {key: value for key, value in expected.items() if value != NOTHING}
    assert {key: type(value) for key, value in ours.items() if key in official} == {
        key: type(value) for key, value in expected.items() if key in official and value != NOTHING
    }


def test_a_license_proxy_is_as_the_official_file_says() -> None:
    official = TOML["common/license_proxy_deploy/license-proxy.toml"]["set"]
    assert flat(tomllib.loads(render("license_proxy", "license-proxy.toml.j2"))) == official


@pytest.mark.parametrize("path", TOML)
def test_every_official_key_is_known_with_its_type(path: str) -> None:
    """Also of the products that this version does not build: their keys are of the same files."""
    file = FILES[Path(path).name.split(".")[0]]
    known = settings.types(file)
    for key, value in {**TOML[path]["set"], **TOML[path]["offered"]}.items():
        kind = known.get(bare(key))
        assert kind, f"{path}: {key} is in no table: add it to dgctl/validation/settings/keys.yml"
        assert value is None or settings.fits(kind, value), f"{path}: {key} = {value!r} is no {kind}"


@pytest.mark.parametrize("name", FACTS["chart"])
def test_every_key_of_the_chart_is_known(name: str) -> None:
    known = settings.types(FILES[name])
    # What the chart writes of each model of a language model's provider has a name of the user's own in its key.
    assert [key for key in FACTS["chart"][name] if key not in known and "*" not in key] == []


# What the chart's values.yaml has otherwise than the role: (file, key) -> why.
_AGENT = "of voice agents: the chart itself writes it only for them, and so does the profile agent"
_BY_DEFAULT = "what the program does without the key, as common/standard_deploy has it"
CHART_DIFFERENCES = {
    ("api", "features.redact_usage"): _BY_DEFAULT,
    ("api", "features.speak_v2"): _BY_DEFAULT,
    ("api", "features.speak_v2_streaming"): _BY_DEFAULT,
    ("api", "voice_agent.eot_timeout_ms"): _AGENT,
    ("api", "voice_agent.max_conversation_chars_sent_to_llm"): _AGENT,
    ("api", "voice_agent.allow_nonpublic_endpoints"): _AGENT,
    ("api", "voice_agent.allow_insecure_endpoints"): _AGENT,
    ("engine", "flux.model_name"): _BY_DEFAULT,
    ("engine", "chunking.streaming.step"): _BY_DEFAULT,
    ("engine", "health.gpu_required"): "Deepgram advises true for production; on a CPU an Engine is of no use",
}


@pytest.mark.parametrize("name", FACTS["chart_defaults"])
def test_what_the_chart_sets_by_default_is_what_the_roles_set(name: str) -> None:
    if name == "license-proxy":
        ours = flat(tomllib.loads(render("license_proxy", "license-proxy.toml.j2")))
    else:
        ours = written(name, "standard_deploy", "stt")
    ours = {bare(key): value for key, value in ours.items()}
    official = {key: value for key, value in FACTS["chart_defaults"][name].items() if value not in (None, "")}
    differing = {key for key, value in official.items() if key not in ours or ours[key] != value}
    assert differing == {key for file, key in CHART_DIFFERENCES if file == name}, {
        key: (official[key], ours.get(key)) for key in differing
    }


@pytest.mark.parametrize("file", FILES.values())
def test_no_known_key_is_of_nowhere(file: str) -> None:
    names = [name for name, ours in FILES.items() if ours == file]
    seen = {
        bare(key)
        for path, reported in TOML.items()
        if FILES[Path(path).name.split(".")[0]] == file
        for part in reported.values()
        for key in part
    }
    seen |= {key for name in names for key in FACTS["chart"][name]} | LATER[file]
    assert {key for key, kind in settings.types(file).items() if kind != "table"} - {"driver_pool.standard"} <= seen


# What the official files offer in comments, as a value that the roles are given: (file, variables) -> key: value.
OFFERED = {
    "max_active_requests": ("engine", {"deepgram_engine_max_active_requests": 20}, 20),
    "concurrency_limit.active_requests": ("api", {"deepgram_api_active_requests": 30}, 30),
    "flux.max_streams": ("engine", {**PROFILES["flux-en"], "deepgram_flux_max_streams": 25}, 25),
    "flux.model_name": ("engine", {**PROFILES["flux-multi"]}, "flux-general-multi"),
    "health.gpu_required": ("engine", {"deepgram_engine_gpu_required": False}, False),
}
SETTINGS = {"api": "deepgram_api_settings", "engine": "deepgram_engine_settings"}
EXAMPLES = {"text": "/x", "duration": "1s", "integer": 5, "number": 0.5, "boolean": True, "list": ["x"]}


@pytest.mark.parametrize("file", SETTINGS)
def test_what_the_official_files_offer_can_be_set(file: str) -> None:
    """By a variable of its own (OFFERED), else through the file's settings."""
    keys = {
        bare(key) for path, reported in TOML.items() if Path(path).name.startswith(file) for key in reported["offered"]
    }
    assert keys
    for key in sorted(keys):
        if key in OFFERED:
            its, values, value = OFFERED[key]
        else:
            its, value = file, EXAMPLES[settings.types(file)[key]]
            values = {SETTINGS[file]: nested(key, value)}
        assert flat(tomllib.loads(render("deepgram", "config.toml.j2", item=its, **values)))[key] == value, key


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value
