"""A server for Flux: its Engine has one Flux model, and for production a limit of streams."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dgctl.base.errors import Problem
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has
from dgctl.validation.links import file_name

# nova-3-general.en.streaming.a1b2c3.dg: a file that has Deepgram's own name is of the model that it is named after.
_NAMED = re.compile(r"[a-z0-9-]+\.[A-Za-z-]+\.[a-z]+\.[^.]+\.dg(v2)?")
_LINKS, _MODEL, _STREAMS = "deepgram_models_links", "deepgram_flux_model", "deepgram_flux_max_streams"


def problems(context: Context) -> Iterator[Problem]:
    for host in _hosts(context):
        links = host.vars.get(_LINKS)
        if not isinstance(links, list) or has(links, PLACEHOLDER) or {_LINKS, _MODEL} & host.unrendered.keys():
            continue
        nameless = any(not _NAMED.fullmatch(file_name(link)) for link in links)
        yield from _wrong(context, host, _models(links), _chosen(host), nameless)


def hints(context: Context) -> Iterator[tuple[str, Problem]]:
    """(host, what it works without and should not)."""
    for host in _hosts(context):
        if not host.vars.get(_STREAMS) and not _of_settings(host).get("max_streams"):
            fix = f"ask Deepgram's Account Representative for the number for your GPU, and set {_STREAMS}"
            yield host.name, Problem(f"{_STREAMS} is not set, and production needs it", fix=fix)


def _hosts(context: Context) -> Iterator[Host]:
    for host in context.served:
        if (
            host.vars.get("deepgram_profile") == "flux"
            and "engine" in host.parts
            and not host.vars.get("deepgram_engines")
        ):
            yield host


def _models(links: list[Any]) -> list[str]:
    """The Flux models that links bring, by the names of their files: flux-general-en.en.streaming.6e5fc14.dg."""
    names = [re.match(r"flux-general-[^.]+", file_name(link)) for link in links]
    return list(dict.fromkeys(name[0] for name in names if name))


def _of_settings(host: Host) -> dict[str, Any]:
    settings = host.vars.get("deepgram_engine_settings")
    flux = settings.get("flux") if isinstance(settings, dict) else None
    return flux if isinstance(flux, dict) else {}


def _chosen(host: Host) -> str:
    """The model that the variables name; "" where they leave it to the links."""
    named = host.vars.get(_MODEL) if _MODEL in host.written else ""
    return str(_of_settings(host).get("model_name") or named or "")


def _wrong(context: Context, host: Host, models: list[str], chosen: str, nameless: bool) -> Iterator[Problem]:
    if not models and not (chosen and nameless):
        what = "deepgram_profile is flux, and no link of deepgram_models_links is of a Flux model"
        fix = f"add the link of {chosen or 'flux-general-en or flux-general-multi'} that Deepgram gave you"
        fix += f", or set {_MODEL} where its file has another name" if nameless else ""
        yield context.problem(host, _LINKS, what, fix)
    elif len(models) > 1 and not chosen:
        fix = f"set {_MODEL} to one of them, or remove the link of the other"
        what = "two Flux models on one server: an Engine serves one"
        yield context.problem(host, _LINKS, what, fix, ", ".join(models))
    elif models and chosen and chosen not in models:
        at = _MODEL if _MODEL in host.written else "deepgram_engine_settings"
        fix = f"add its link, or name a model that has one: {', '.join(models)}"
        what = "no link of deepgram_models_links is of the Flux model that the Engine is to serve"
        yield context.problem(host, at, what, fix, chosen)
