"""What the official compose files give each container, beside what the roles do: equal, or a difference with its reason here."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.official.test_toml import FACTS, PROXIES
from tests.roles_app.deepgram.test_templates import IMAGES, component
from tests.roles_app.rendering import of, render

PARTS = ("api", "engine", "license-proxy")
FILES = {
    ("docker", "standard_deploy"): "docker/docker-compose.standard.yml",
    ("docker", "license_proxy_deploy"): "docker/docker-compose.license-proxy.yml",
    ("podman", "standard_deploy"): "podman/podman-compose.standard.yml",
    ("podman", "license_proxy_deploy"): "podman/podman-compose.license-proxy.yml",
}
CASES = [(*case, part) for case, path in FILES.items() for part in FACTS["compose"][path]]
REFERENCE = {part: {"reference": f"quay.io/deepgram/self-hosted-{part}@sha256:{'0' * 64}"} for part in PARTS}
COMMAND = "--log-format stands beside -v: deepgram_log_format (from 260319 on, validated)"
DIRECTORY = "a directory is mounted: a file that is replaced would stay the old one in the container"
# (item, part): what the roles do instead; a text is the reason, `{}` what they do in the terms of `ours`.
DIFFERENCES: dict[tuple[str, str], tuple[Any, str]] = {
    ("ports", "api"): ([("127.0.0.1", "8080", "8080")], "the API asks nobody for credentials: NGINX alone reaches it"),
    ("ports", "engine"): ([("127.0.0.1", "9991", "9991")], "metrics are for this server: deepgram_metrics_bind_address"),
    ("ports", "license-proxy"): (
        [("0.0.0.0", "8443", "8443"), ("127.0.0.1", "8089", "8080")],
        "it serves other servers, and its status is for this one: license_proxy_*bind_address",
    ),
    ("command", "api"): ("-v --log-format=full serve /config/api.toml", COMMAND),
    ("command", "engine"): ("-v --log-format=full serve /config/engine.toml", COMMAND),
    ("command", "license-proxy"): ("-v --log-format=full serve /config/license-proxy.toml", COMMAND),
    ("volumes", "api"): ({"/config"}, DIRECTORY),
    ("volumes", "engine"): ({"/config", "/models"}, DIRECTORY),
    ("volumes", "license-proxy"): ({"/config"}, DIRECTORY),
    ("gpu", "engine"): ("nvidia.com/gpu=all", "CDI with Docker too: at a daemon-reload the runtime's containers lose the GPU"),
    ("depends_on", "api"): (["engine"], "an API without its Engine is Critical; a License Proxy is a project of its own"),
    ("depends_on", "engine"): ([], "a License Proxy is a project of its own, on servers of its own"),
    ("NVIDIA_VISIBLE_DEVICES", "license-proxy"): (None, "a License Proxy needs no GPU"),
    ("NVIDIA_DRIVER_CAPABILITIES", "license-proxy"): (None, "a License Proxy needs no GPU"),
}  # fmt: skip


def reported(service: dict[str, Any]) -> dict[str, Any]:
    """A service of an official compose file, in the terms of `ours`."""
    environment = dict(service["environment"])
    assert environment.pop("DEEPGRAM_API_KEY") == "${DEEPGRAM_API_KEY}"
    devices = service.get("devices", [])
    return {
        "image": service["image"].partition(":")[0],
        "restart": service["restart"],
        "ports": [("0.0.0.0", *port.split(":")) for port in service["ports"]],
        "volumes": {volume.split(":")[1] for volume in service["volumes"] if "ro" in volume.split(":")[2].split(",")},
        "command": service["command"],
        "gpu": service.get("runtime") or ",".join(devices),
        "depends_on": sorted(service.get("depends_on", [])),
        "has the key": True,
        **environment,
    }


def docker(part: str, **values: Any) -> dict[str, Any]:
    role, images = (
        ("license_proxy", "__license_proxy_images") if part == "license-proxy" else ("deepgram", "__deepgram_images")
    )
    text = render(role, "compose.yaml.j2", **{images: {**IMAGES, "images": REFERENCE}}, **values)
    service = yaml.safe_load(text)["services"][part]
    devices = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
    return {
        "image": service["image"].partition("@")[0],
        "restart": service["restart"],
        "ports": [tuple(port.split(":")) for port in service["ports"]],
        "volumes": {volume.split(":")[1] for volume in service["volumes"] if volume.endswith(":ro")},
        "command": " ".join(service["command"]),
        "gpu": ",".join(name for device in devices for name in device["device_ids"]),
        "depends_on": service.get("depends_on", []),
        "has the key": service["env_file"] == ["deepgram.env"],
        **service["environment"],
    }


def podman(part: str, **values: Any) -> dict[str, Any]:
    role, images = (
        ("license_proxy", "__license_proxy_images") if part == "license-proxy" else ("deepgram", "__deepgram_images")
    )
    known = {images: {**IMAGES, "images": REFERENCE}, "deepgram_container_engine": "podman", "item": part}
    if role == "deepgram":
        known["item"] = component(f"deepgram-{part}.container", **values)
    text = render(role, f"deepgram-{part}.container.j2", **known, **values)
    unit: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            unit.setdefault(key, []).append(value.strip('"'))
    after = " ".join(unit.get("After", []))
    return {
        "image": unit["Image"][0].partition("@")[0],
        "restart": unit["Restart"][0],
        "ports": [tuple(port.split(":")) for port in unit["PublishPort"]],
        "volumes": {volume.split(":")[1] for volume in unit["Volume"] if volume.endswith((":ro", ":ro,z"))},
        "command": unit["Exec"][0],
        "gpu": ",".join(unit.get("AddDevice", [])),
        "depends_on": [name for name in PARTS if name != part and f"deepgram-{name}.service" in after],
        "has the key": bool(unit["EnvironmentFile"]),
        **dict(pair.split("=", 1) for pair in unit["Environment"]),
    }


def expected(engine: str, folder: str, part: str) -> dict[str, Any]:
    found = reported(FACTS["compose"][FILES[engine, folder]][part])
    for (item, its), (value, _why) in DIFFERENCES.items():
        if its == part and found.get(item) != value:
            found[item] = value
    return {item: value for item, value in found.items() if value is not None}


@pytest.mark.parametrize(("engine", "folder", "part"), CASES)
def test_a_container_is_as_the_official_file_says(engine: str, folder: str, part: str) -> None:
    values = of("node", *(["license_proxy"] if part == "license-proxy" else []), servers=PROXIES[folder])
    ours = {"docker": docker, "podman": podman}[engine](part, **values)
    assert ours == expected(engine, folder, part)


def test_every_difference_is_one_of_some_file() -> None:
    for (item, part), (value, why) in DIFFERENCES.items():
        official = [
            reported(services[part]).get(item)
            for path in FILES.values()
            for its, services in [(path, FACTS["compose"][path])]
            if part in services
        ]
        assert why and any(one != value for one in official), f"{item} of {part} is no difference any more"


SPEAKING = {
    "docker/docker-compose.aura-2.yml": {"en": {}, "es": {"deepgram_aura_language": "es"}},
    "docker/docker-compose.aura-2-polyglot.yml": {"polyglot": {"deepgram_aura_language": "polyglot"}},
    "docker/docker-compose.flux-tts.yml": {"": {"deepgram_profile": "flux_tts"}},
}
OF_SPEAKING = [(path, name, values) for path, services in SPEAKING.items() for name, values in services.items()]


@pytest.mark.parametrize(("path", "name", "values"), OF_SPEAKING)
def test_an_engine_that_speaks_has_the_official_environment(path: str, name: str, values: dict[str, Any]) -> None:
    official = FACTS["compose"][path][f"engine-{name}" if name else "engine"]["environment"]
    ours = docker("engine", **{"deepgram_profile": "aura", **values}, **of("node"))
    for key in official.keys() - {"DEEPGRAM_API_KEY", "CUDA_VISIBLE_DEVICES"}:
        assert ours[key] == str(official[key]), key
    # By CDI the container has its own GPUs only, and counts them from 0.
    count = len(str(official["CUDA_VISIBLE_DEVICES"]).split(","))
    assert ours["CUDA_VISIBLE_DEVICES"] == ",".join(map(str, range(count)))
