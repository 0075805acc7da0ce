"""What a host should be: the public variables that checks compare with, and nothing that is secret."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from dgctl import content

# The variables that reach the checks. No key, no password: this is written to a file.
NAMES = (
    "preflight_gpu_count",
    "preflight_gpu_names",
    "preflight_min_gpu_count",
    "preflight_min_gpu_memory_mb",
    "nvidia_driver_branch",
    "nvidia_driver_version",
    "nvidia_driver_hold",
    "nvidia_driver_persistence",
    "nvidia_driver_lock_timeout_s",
    "nvidia_driver_source",
    "preflight_gpus_extra",
    "nvidia_container_toolkit_version",
    "deepgram_release",
    "deepgram_air_gap",
    "deepgram_profile",
    "deepgram_flux_model",
    "deepgram_container_engine",
    "deepgram_image_digests",
    "deepgram_api_port",
    "deepgram_api_bind_address",
    "deepgram_metrics_port",
    "deepgram_metrics_bind_address",
    "deepgram_engine_max_active_requests",
    "deepgram_gpu_devices",
    "deepgram_engine_addresses",
    "license_proxy_status_port",
    "license_proxy_status_bind_address",
    "billing_port",
    "billing_bind_address",
    "billing_certificates_port",
    "billing_certificates_bind_address",
    "billing_journal_dir",
    "deepgram_models_dir",
    "deepgram_verify_language",
    "deepgram_verify_model",
    "deepgram_verify_voice",
    "nginx_proxy_port",
    "nginx_proxy_server_name",
    "nginx_proxy_status_allow",
    "nginx_proxy_tls_source",
    "nginx_proxy_acme_ca_file",
    "nginx_proxy_callers",
)
# The same, of roles that not every deployment has.
OF_PROXIES = ("host_firewall_rules", "nginx_proxy_nodes")
OF_ANSIBLE = ("ansible_python_interpreter",)
# Models that turn speech into words; others (diarizer, entity-detector ...) only help them.
_SPEECH = re.compile(r"(nova|enhanced|base|whisper|\d-)")
# The request that proves a product (`request` in the table of profiles) -> what of a host's values it is made with.
REQUESTS = {"listen": "speech", "turns": "flux", "speak": "voices", "speak_v2": "voices", "converse": "agent"}
# By Aura's language group or by profile: a voice of Deepgram's pages (deploy-tts-services, deploy-flux-tts) for a test request.
VOICES = {"en": "aura-2-thalia-en", "es": "aura-2-celeste-es", "flux_tts": "flux-haley-en"}
# Models of /v2/listen, which hears live streams only; an Engine has one, and no other model.
_FLUX = "flux-"


def desired(variables: dict[str, Any]) -> dict[str, Any]:
    """The desired values of one host: NAMES, plus `models`, `speech` and `flux`, all without any query string of a
    link.

    A value that only the server's facts could complete counts as not set (None).
    """
    values = {name: _settled(variables.get(name)) for name in (*NAMES, *OF_PROXIES, *OF_ANSIBLE)}
    own = _settled(variables.get("deepgram_engine_settings")) or {}
    limit = own.get("max_active_requests")
    values["deepgram_engine_max_active_requests"] = limit or values["deepgram_engine_max_active_requests"]
    values["half_precision"] = (own.get("half_precision") or {}).get("state")
    values["voices"], values["agent"] = _voices(variables, values), _agent(variables, values)
    models = [_model(link) for link in variables.get("deepgram_models_links") or []]
    files = [model["file"] for model in models]
    asked: dict[str, Any] = {"speech": {}, "flux": None}
    if made_with(values["deepgram_profile"]) == "flux":
        asked["flux"] = (own.get("flux") or {}).get("model_name") or _flux_model(files, values)
    elif made_with(values["deepgram_profile"]) == "speech":
        asked["speech"] = _preferred(speech_models(files), values)
    return values | {"models": models} | asked


def made_with(profile: str | None) -> str:
    """What the request is made with that proves a product: a value of REQUESTS. No profile is that of an API for all."""
    return REQUESTS[_product(profile)["request"]]


def _product(profile: str | None) -> dict[str, Any]:
    profiles = content.filters("deepgram_topology").tables()[0]
    return dict(profiles.get(profile) or profiles["stt"])


def _voices(variables: dict[str, Any], values: dict[str, Any]) -> list[dict[str, str]]:
    """{path, model} of a test request for speech; none where no name of a voice is known."""
    profile = values["deepgram_profile"]
    language = str(variables.get("deepgram_aura_language") or "en")
    model = values["deepgram_verify_voice"] or VOICES.get(language if profile == "aura" else profile, "")
    speaks = made_with(profile) == "voices"
    return [{"path": _product(profile)["paths"][0], "model": model}] if speaks and model else []


def _agent(variables: dict[str, Any], values: dict[str, Any]) -> dict[str, Any] | None:
    """{voice, providers} of a test conversation with a voice agent."""
    if made_with(values["deepgram_profile"]) != "agent":
        return None
    providers = _settled(variables.get("deepgram_agent_llm_providers")) or {}
    return {"voice": values["deepgram_verify_voice"] or VOICES["en"], "providers": providers}


def speech_models(files: list[str]) -> list[dict[str, str]]:
    """`{model, language, mode}` of each file named like nova-3-general.en.batch.a1b2.dg that transcribes
    speech.
    """
    parts = [file.split(".") for file in files]
    return [
        {"model": words[0], "language": words[1], "mode": words[2]}
        for words in parts
        if len(words) >= 4 and words[2] in ("batch", "streaming") and _SPEECH.match(words[0])
    ]


def _preferred(speech: list[dict[str, str]], values: dict[str, Any]) -> dict[str, str]:
    """Mode (batch, streaming) -> the model for a test request; a mode without a model is left out.

    deepgram_verify_model comes first where it speaks the language; a name that no file explains is tried as it is.
    """
    language, model = values["deepgram_verify_language"] or "en", values["deepgram_verify_model"] or ""
    # The first link of all may be that of another profile's servers.
    model = "" if model.startswith(_FLUX) else model
    if model and model not in {known["model"] for known in speech}:
        return {"batch": model, "streaming": model}
    fitting = [known for known in speech if known["language"].split("-")[0] in (language, "multi")]
    fitting.sort(key=lambda known: known["model"] != model)
    return {known["mode"]: known["model"] for known in reversed(fitting)}


def _flux_model(files: list[str], values: dict[str, Any]) -> str:
    """The Flux model for a test request: the one that the Engine was told to serve, that of a file, or the Engine's own."""
    named = [
        values["deepgram_flux_model"] or "",
        values["deepgram_verify_model"] or "",
        *(file.partition(".")[0] for file in files),
    ]
    return next((name for name in named if name.startswith(_FLUX)), "flux-general-en")


def _model(link: Any) -> dict[str, Any]:
    url, sha256 = (link.get("url", ""), link.get("sha256")) if isinstance(link, dict) else (str(link), None)
    return {"file": unquote(urlsplit(url).path.rpartition("/")[2]), "sha256": sha256}


def _settled(value: Any) -> Any:
    return None if isinstance(value, str) and "{{" in value else value
