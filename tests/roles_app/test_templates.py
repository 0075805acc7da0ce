"""What the roles write with their defaults and with what users change."""

import configparser
import tomllib

import pytest
import yaml

from .rendering import render, value

IMAGES = {
    "images": {
        name: {"reference": f"quay.io/deepgram/self-hosted-{name}@sha256:{'0' * 64}"} for name in ("api", "engine")
    },
    "driver_version": "580.173.02",
}


def config(name, **changes):
    return tomllib.loads(render("deepgram", "config.toml.j2", item=name, **changes))


def compose(**changes):
    text = render("deepgram", "compose.yaml.j2", __deepgram_images=IMAGES, **changes)
    return text, yaml.safe_load(text)


def unit(name, **changes):
    """(text, sections): a key that stands more than once has its values joined by newlines."""
    known = {"deepgram_container_engine": "podman", "__deepgram_images": IMAGES}
    text = render("deepgram", name + ".j2", **known, **changes)
    parser = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#", dict_type=_Joining)
    parser.optionxform = str
    parser.read_string(text)
    return text, parser


class _Joining(dict):
    def __setitem__(self, key, entry):
        if isinstance(entry, list) and key in self and isinstance(self[key], list):
            entry = self[key] + entry
        super().__setitem__(key, entry)


def test_configurations_say_what_the_official_templates_say():
    api, engine = config("api"), config("engine")
    assert api["driver_pool"]["standard"][0]["url"] == "https://engine:8080/v2"
    assert api["license"]["server_url"] == ["https://license.deepgram.com"] == engine["license"]["server_url"]
    assert "[[driver_pool.standard]]" in render("deepgram", "config.toml.j2", item="api")
    assert "concurrency_limit" not in api and "max_active_requests" not in engine
    assert engine["health"]["gpu_required"] is True and engine["metrics_server"]["port"] == 9991
    assert engine["model_manager"]["search_paths"] == ["/models"]


def test_limit_stands_before_every_table():
    text = render("deepgram", "config.toml.j2", item="engine", deepgram_engine_max_active_requests=20)
    assert text.index("max_active_requests = 20") < text.index("[")
    assert config("api", deepgram_api_active_requests=30)["concurrency_limit"] == {"active_requests": 30}


def test_values_from_an_ini_file_are_text_and_come_out_typed():
    ini = {"deepgram_engine_max_active_requests": "19", "deepgram_engine_gpu_required": "false"}
    assert config("engine", **ini)["max_active_requests"] == 19
    assert config("engine", **ini)["health"]["gpu_required"] is False
    assert "max_active_requests" not in config("engine", deepgram_engine_max_active_requests="")


def test_every_setting_can_be_added_changed_and_removed():
    more = {"half_precision": {"state": "auto"}, "features": {"multichannel": None, "streaming_ner": False}}
    engine = config("engine", deepgram_engine_settings=more)
    assert engine["half_precision"] == {"state": "auto"} and "multichannel" not in engine["features"]
    assert engine["features"]["streaming_ner"] is False and engine["features"]["language_detection"] is True


def test_flux_profile_switches_both_sides():
    assert config("api", deepgram_profile="flux")["features"]["listen_v2"] is True
    assert config("engine", deepgram_profile="flux")["flux"]["enabled"] is True


def test_compose_project():
    text, project = compose()
    engine, api = project["services"]["engine"], project["services"]["api"]
    assert project["name"] == "deepgram" and "abc123" not in text
    for name, service in (("engine", engine), ("api", api)):
        assert service["container_name"] == f"deepgram-{name}" and service["restart"] == "always"
        assert service["stop_grace_period"] == "1800s" and service["env_file"] == ["deepgram.env"]
        assert service["command"] == ["-v", "--log-format=full", "serve", f"/config/{name}.toml"]
        assert service["environment"]["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "100m", "max-file": "5"}}
        assert f"/etc/deepgram/{name}:/config:ro" in service["volumes"]
    device = engine["deploy"]["resources"]["reservations"]["devices"][0]
    assert device == {"driver": "cdi", "device_ids": ["nvidia.com/gpu=all"], "capabilities": ["gpu"]}
    assert engine["ports"] == ["127.0.0.1:9991:9991"] and api["ports"] == ["127.0.0.1:8080:8080"]


def test_compose_escapes_what_it_would_replace():
    service = compose(deepgram_api_environment={"A": "x$y", "N": 5})[1]["services"]["api"]
    assert service["environment"]["A"] == "x$$y" and service["environment"]["N"] == "5"


def test_api_is_not_made_anew_for_the_engine():
    before, after = compose()[1], compose(deepgram_engine_max_active_requests=9)[1]
    assert before["services"]["api"] == after["services"]["api"]
    assert before["services"]["engine"]["labels"] != after["services"]["engine"]["labels"]


def test_new_driver_makes_the_engine_anew():
    text = render("deepgram", "compose.yaml.j2", __deepgram_images=IMAGES | {"driver_version": "580.95.05"})
    assert yaml.safe_load(text)["services"]["engine"]["labels"] != compose()[1]["services"]["engine"]["labels"]


def test_quadlet_units():
    text, engine = unit("deepgram-engine.container")
    assert engine["Container"]["AddDevice"] == "nvidia.com/gpu=all" and engine["Container"]["Pull"] == "never"
    assert engine["Service"]["TimeoutStopSec"] == "1800" and "--stop-timeout=1800" in text
    assert engine["Service"]["Restart"] == "always" and engine["Install"]["WantedBy"] == "multi-user.target"
    assert "nvidia-cdi-refresh.service" in engine["Unit"]["After"] and "abc123" not in text
    api = unit("deepgram-api.container")[1]
    assert (
        api["Container"]["PublishPort"] == "127.0.0.1:8080:8080" and "deepgram-engine.service" in api["Unit"]["After"]
    )
    assert api["Container"]["EnvironmentFile"] == "/etc/deepgram/deepgram.env"


def test_unit_values_are_quoted_as_systemd_reads_them():
    text = unit("deepgram-api.container", deepgram_api_environment={"A": 'x "y" 5%'})[0]
    assert r'Environment="A=x \"y\" 5%%"' in text


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"deepgram_api_key": ""}, "deepgram_api_key is empty"),
        ({"deepgram_api_key": "a b"}, "deepgram_api_key is empty, or holds a space"),
        ({"deepgram_release": "a b"}, "deepgram_release is not a tag: a b"),
        ({"deepgram_registry_username": "u"}, "deepgram_registry_password is empty"),
        ({"deepgram_image_digests": {"api": "latest"}}, "deepgram_image_digests is not of the form"),
        (
            {"deepgram_image_digests": {"apo": f"sha256:{'0' * 64}"}},
            "deepgram_image_digests is not of the form",
        ),
    ],
)
def test_settings_that_cannot_work_are_named(changes, words):
    problems = value("deepgram", "_deepgram_problems", **changes)
    assert len(problems) == 1 and words in problems[0] and "Fix:" in problems[0]


def test_default_settings_have_no_problem():
    assert value("deepgram", "_deepgram_problems") == []
    digest = {"api": f"sha256:{'0' * 64}"}
    assert value("deepgram", "_deepgram_problems", deepgram_image_digests=digest) == []


@pytest.mark.parametrize(
    "links, model",
    [
        ([], ""),
        (["https://h/m/nova-3-general.en.streaming.a12b345.dg"], "nova-3-general"),
        (
            [
                {"url": "https://h/entity-detector.en.batch.x.dg"},
                {"url": "https://h/nova-2-medical.en.batch.x.dg?s=/nova-9.x.dg"},
            ],
            "nova-2-medical",
        ),
        (["https://h/flux-general-en.x.dg"], "flux-general-en"),
    ],
)
def test_model_of_test_requests(links, model):
    assert value("deepgram", "deepgram_verify_model", deepgram_models_links=links) == model
