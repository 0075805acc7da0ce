"""Images for FIPS 140-3: one switch, and what goes with it (developers.deepgram.com/docs/fips-compliant-deployment)."""

from __future__ import annotations

from collections.abc import Iterator

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.base.words import listed
from dgctl.content import releases
from dgctl.deployment import topology
from dgctl.deployment.deployment import Host
from dgctl.validation.context import Context
from dgctl.validation.links import file_name

SWITCH, RELEASE, LINKS, TLS = "deepgram_fips", "deepgram_release", "deepgram_models_links", "deepgram_api_tls"
ENDING, SINCE = "-fips", 260728
# Part -> where the mode was set before there was the switch.
SETTINGS = {
    "engine": "deepgram_engine_settings",
    "api": "deepgram_api_settings",
    "license-proxy": "license_proxy_settings",
    "billing": "billing_settings",
}


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        if not host.parts or {SWITCH, RELEASE} & host.unrendered.keys():
            continue
        release = str(host.vars.get(RELEASE) or "")
        asked, images = _is_on(host, SWITCH), release.endswith(ENDING)
        if asked or images:
            yield from _images(context, host, release, asked)
            yield from _products(context, host)
            yield from _tls(context, host, asked)


def _is_on(host: Host, name: str) -> bool:
    return content.filters("deepgram_topology").is_true(host.vars.get(name))


def _images(context: Context, host: Host, release: str, asked: bool) -> Iterator[Problem]:
    """The switch and the images go together: either without the other runs, and is not compliant."""
    if not release.endswith(ENDING):
        fix = f"set {RELEASE} to {release}{ENDING}, or another of release-{SINCE}{ENDING} and newer"
        yield context.problem(host, RELEASE, f"{SWITCH} is true, and these are no images for FIPS", fix, release)
    elif 0 < releases.date_of(release) < SINCE:
        fix = f"set it to release-{SINCE}{ENDING} or newer"
        yield context.problem(host, RELEASE, "there are no images for FIPS of this release", fix, release)
    elif not asked and not all(_has_mode(host, part) for part in host.parts):
        fix = f"set {SWITCH}: true, which sets it in every file"
        what = "images for FIPS are not in FIPS mode unless their files say so"
        yield context.problem(host, RELEASE, what, fix, release)


def _has_mode(host: Host, part: str) -> bool:
    settings = host.vars.get(SETTINGS[part])
    return isinstance(settings, dict) and isinstance(settings.get("fips"), dict)


def _products(context: Context, host: Host) -> Iterator[Problem]:
    if "engine" not in host.parts or {"deepgram_engines", "deepgram_profile"} & host.unrendered.keys():
        return
    for engine in topology.layout(host)["engines"]:
        if (engine["toml"].get("flux") or {}).get("enabled"):
            name = f"the Engine {engine['name']}" if engine["name"] else "the Engine"
            fix = "serve Flux from servers with a release without -fips"
            yield context.problem(host, RELEASE, f"{name} runs Flux, which images for FIPS do not have", fix)
    links = host.vars.get(LINKS)
    names = [file_name(link) for link in links] if isinstance(links, list) and LINKS not in host.unrendered else []
    if wrong := [name for name in names if name.rpartition(".")[2] == "dg"]:
        fix = "ask Deepgram for the .dgv2 files of these models"
        yield context.problem(host, LINKS, "images for FIPS read .dgv2 model files alone", fix, listed(wrong))


def _tls(context: Context, host: Host, asked: bool) -> Iterator[Problem]:
    if "api" in host.parts and asked and not _is_on(host, TLS):
        fix = f"take the line out: with {SWITCH} the API gets a certificate"
        yield context.problem(host, TLS, "the API of images for FIPS answers over TLS alone", fix, "false")
