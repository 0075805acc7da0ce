"""What the roles write with their defaults and with what users change."""

import configparser
import tomllib

import pytest
import yaml

from tests.roles_app.rendering import of, render, value

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


def component(name, **changes):
    """What the layout says of the container whose unit this is: deepgram-engine-a.container."""
    layout = value("deepgram", "_deepgram_layout", **changes)
    found = {f"deepgram-{one['component']}": one for one in [*layout["engines"], *layout["apis"]]}
    return found.get(name.partition(".")[0])


def unit(name, **changes):
    """(text, sections): a key that stands more than once has its values joined by newlines."""
    known = {"deepgram_container_engine": "podman", "__deepgram_images": IMAGES}
    one = component(name, **changes)
    template = f"deepgram-{one['kind']}.container" if one else name
    text = render("deepgram", template + ".j2", item=one, **known, **changes)
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


def test_a_buffer_and_further_folders_of_models_are_mounted_where_the_files_say():
    own = {"deepgram_api_disk_buffer_dir": "/var/buffer", "deepgram_engine_models_dirs": ["/srv/models", "/mnt/more"]}
    assert config("engine", **own)["model_manager"]["search_paths"] == ["/models", "/models-1", "/models-2"]
    assert config("api", **own)["features"]["disk_buffer_path"] == "/buffer"
    _, reported = compose(**own)
    assert reported["services"]["engine"]["volumes"][-2:] == ["/srv/models:/models-1:ro", "/mnt/more:/models-2:ro"]
    assert reported["services"]["api"]["volumes"][-1] == "/var/buffer/api:/buffer"
    _, engine = unit("deepgram-engine.container", **own)
    assert "/mnt/more:/models-2:ro" in engine["Container"]["Volume"]
    _, api = unit("deepgram-api.container", **own)
    assert "/var/buffer/api:/buffer:z" in api["Container"]["Volume"]
    assert {"path": "/var/buffer/api", "mode": "0700"} in value("deepgram", "_deepgram_directories", **own)
    _, plain = compose()
    assert "disk_buffer_path" not in config("api")["features"] and len(plain["services"]["api"]["volumes"]) == 1


def test_the_api_s_certificate_is_mounted_and_asked_for_over_tls():
    _, reported = compose(deepgram_api_tls=True)
    api = reported["services"]["api"]
    assert (
        "/etc/deepgram/tls:/tls:ro" in api["volumes"] and "curl -sk https://localhost:" in api["healthcheck"]["test"][1]
    )
    assert config("api", deepgram_api_tls=True)["server"]["https"] == {
        "cert_file": "/tls/api.crt",
        "key_file": "/tls/api.key",
    }
    assert value("deepgram", "_deepgram_urls", deepgram_api_tls=True)["api"] == "https://127.0.0.1:8080/v1/status"
    assert "https" not in config("api")["server"] and "fips" not in config("api") and "fips" not in config("engine")
    fips = {"deepgram_fips": "true", "deepgram_release": "release-260812-fips"}  # text, as an INI file has it
    assert config("api", **fips)["fips"] == config("engine", **fips)["fips"] == {"mode": "enabled"}
    assert config("api", **fips)["server"]["https"]["cert_file"] == "/tls/api.crt"
    assert tomllib.loads(render("license_proxy", "license-proxy.toml.j2", deepgram_fips=True))["fips"] == {
        "mode": "enabled"
    }


def test_keys_of_the_future_are_merged_over_all_others_with_their_types():
    own = {"features": {"streaming_ner": False}, "own": {"number": 5, "text": "5", "part": 0.5, "yes": True}}
    engine = config("engine", deepgram_engine_settings=own, deepgram_engine_extra_settings={"own": {"number": 6}})
    assert engine["own"] == {"number": 6, "text": "5", "part": 0.5, "yes": True}
    assert config("api", deepgram_api_extra_settings={"features": {"own": 1}})["features"]["own"] == 1
    (driver,) = config("api", deepgram_api_driver_extra={"own": 2})["driver_pool"]["standard"]
    assert driver["own"] == 2 and driver["retry_sleep"] == "2s"
    engines = [
        {"name": "a", "extra_settings": {"own": 1}},
        {"name": "b", "settings": {"health": {"gpu_required": False}}},
    ]
    several = {"deepgram_engines": engines, "deepgram_engine_extra_settings": {"all": 2}}
    a, b = config("engine-a", **several), config("engine-b", **several)
    assert (a["own"], a["all"], b["all"]) == (1, 2, 2) and "own" not in b and b["health"]["gpu_required"] is False
    proxy = render("license_proxy", "license-proxy.toml.j2", license_proxy_extra_settings={"own": 1})
    assert tomllib.loads(proxy)["own"] == 1


EN = "https://h/m/flux-general-en.en.streaming.6e5fc14.dg"
MULTI = "https://h/m/flux-general-multi.multi.streaming.6e5fc14.dg"
NOVA = "https://h/m/nova-3-general.en.streaming.a12b345.dg"


def flux(*links, **changes):
    return {"deepgram_profile": "flux", "deepgram_models_links": list(links), **changes}


def test_flux_profile_switches_both_sides():
    assert config("api", **flux(EN))["features"]["listen_v2"] is True
    assert config("engine", **flux(EN))["flux"]["enabled"] is True


@pytest.mark.parametrize(
    ("links", "changes", "model"),
    [
        ([EN], {}, "flux-general-en"),
        ([NOVA, MULTI], {}, "flux-general-multi"),
        ([{"url": MULTI + "?s=/flux-general-en.x.dg", "sha256": "0" * 64}], {}, "flux-general-multi"),
        ([EN, EN.replace("6e5fc14", "b1c2d3e")], {}, "flux-general-en"),  # two files of one model
        ([EN, MULTI], {"deepgram_flux_model": "flux-general-multi"}, "flux-general-multi"),
        ([EN, MULTI], {"deepgram_engine_settings": {"flux": {"model_name": "flux-general-en"}}}, "flux-general-en"),
    ],
)
def test_the_engine_is_told_which_flux_model_it_serves(links, changes, model):
    # common/standard_deploy/engine.flux-multi.toml: without model_name the Engine looks for flux-general-en and panics.
    assert config("engine", **flux(*links, **changes))["flux"]["model_name"] == model
    assert value("deepgram", "_deepgram_problems", **flux(*links, **changes)) == []


@pytest.mark.parametrize(
    ("links", "changes", "words"),
    [
        ([NOVA], {}, "no link of deepgram_models_links is of a Flux model"),
        ([EN, MULTI], {}, "flux-general-en, flux-general-multi"),
        ([EN], {"deepgram_flux_model": "flux-general-multi"}, "deepgram_flux_model is flux-general-multi"),
    ],
)
def test_a_flux_profile_without_one_flux_model_is_refused(links, changes, words):
    (problem,) = value("deepgram", "_deepgram_problems", **flux(*links, **changes))
    assert words in problem and "Fix:" in problem
    assert value("deepgram", "_deepgram_problems", **flux(*links, **changes, deepgram_profile="stt")) == []
    apart = {"deepgram_parts": ["api"], "deepgram_engine_addresses": ["e1:8080"]}
    assert value("deepgram", "_deepgram_problems", **flux(*links, **changes, **apart)) == []


def test_flux_streams_are_limited_where_a_number_is_given():
    assert "max_streams" not in config("engine", **flux(EN))["flux"]
    assert config("engine", **flux(EN, deepgram_flux_max_streams="25"))["flux"]["max_streams"] == 25
    assert config("engine", deepgram_flux_max_streams=25)["flux"] == {"enabled": False}


def test_a_driver_s_timings_are_changed_and_its_address_stays():
    tuned = {"deepgram_api_driver": {"retry_sleep": "5s", "timeout_backoff": None}}
    apart = {"deepgram_engine_addresses": ["e1:8080", "e2:8080"]}
    entries = config("api", **tuned, **apart)["driver_pool"]["standard"]
    assert [entry["url"] for entry in entries] == ["https://e1:8080/v2", "https://e2:8080/v2"]
    assert all(entry["retry_sleep"] == "5s" and "timeout_backoff" not in entry for entry in entries)
    assert all(entry["retry_backoff"] == 1.6 for entry in entries)


def test_a_list_of_drivers_without_addresses_is_refused():
    partial = {"driver_pool": {"standard": [{"retry_sleep": "5s"}]}}
    (problem,) = value("deepgram", "_deepgram_problems", deepgram_api_settings=partial)
    assert "driver_pool.standard" in problem and "url" in problem and "deepgram_api_driver" in problem
    whole = {"driver_pool": {"standard": [{"url": "https://other:8080/v2"}]}}
    assert value("deepgram", "_deepgram_problems", deepgram_api_settings=whole) == []
    assert config("api", deepgram_api_settings=whole)["driver_pool"] == whole["driver_pool"]


def test_a_server_without_any_licence_server_is_refused():
    (problem,) = value("deepgram", "_deepgram_problems", deepgram_license_upstream=[])
    assert "deepgram_license_upstream" in problem and "license_proxy" in problem
    fleet = of("node", servers={"license_proxy": {"lp1": {"ansible_host": "192.0.2.9"}}})
    assert value("deepgram", "_deepgram_problems", deepgram_license_upstream=[], **fleet) == []


@pytest.mark.parametrize(
    ("servers", "section"),
    [
        (["https://license.deepgram.com"], None),  # common/license_proxy_deploy/license-proxy.toml has no [license]
        (["https://license.deepgram.com/"], None),
        (["https://up.example:8443"], {"server_url": "https://up.example:8443"}),  # the chart's: text, no list
    ],
)
def test_a_license_proxy_is_told_whom_to_ask_in_the_official_form(servers, section):
    text = render("license_proxy", "license-proxy.toml.j2", license_proxy_servers=servers)
    assert tomllib.loads(text).get("license") == section
    assert value("license_proxy", "_license_proxy_problems", license_proxy_servers=servers) == []


def test_a_license_proxy_asks_one_server():
    (problem,) = value("license_proxy", "_license_proxy_problems", license_proxy_servers=["https://a", "https://b"])
    assert "license_proxy_servers" in problem and "Fix:" in problem


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


def test_api_is_not_recreated_for_the_engine():
    before, after = compose()[1], compose(deepgram_engine_max_active_requests=9)[1]
    assert before["services"]["api"] == after["services"]["api"]
    assert before["services"]["engine"]["labels"] != after["services"]["engine"]["labels"]


def test_new_driver_recreates_the_engine():
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


def test_usage_is_redacted_as_it_is_said():
    reported = {None: None, True: True, False: False, "false": False}
    for given, found in reported.items():
        api = value("deepgram", "_deepgram_config", deepgram_redact_usage=given)["api"]
        assert api["features"].get("redact_usage") is found
