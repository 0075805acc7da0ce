"""Products and Engines: GPUs are divided without overlap, and what an Engine does not start without is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dgctl import content
from dgctl.base.errors import Problem
from dgctl.base.words import listed
from dgctl.content import releases
from dgctl.deployment import topology
from dgctl.deployment.deployment import Host
from dgctl.validation.context import PLACEHOLDER, Context, has

_LIST, _DEVICES, _COUNT = "deepgram_engines", "deepgram_gpu_devices", "preflight_gpu_count"
_ALL, _ONE_PER_GPU = "nvidia.com/gpu=all", "one_per_gpu"
_MIG = re.compile(r"nvidia\.com/gpu=(\d+:\d+|MIG-.*)$")
_LINKS = "deepgram_models_links"
WATERMARKED_FROM, WATERMARKER = 261001, "deepgram_flux_tts_watermarker_uuid"

Engine = dict[str, Any]


def problems(context: Context) -> Iterator[Problem]:
    for host in context.served:
        if (
            "engine" in host.parts
            and not {_LIST, _DEVICES, "deepgram_profile"} & host.unrendered.keys()
            and _has_form(host)
        ):
            engines = topology.layout(host)["engines"]
            yield from _gpus(context, host, engines)
            yield from _targets(context, host)
            yield from _required(context, host)
            yield from _models(context, host, engines)
        if "api" in host.parts and not {_LIST, "deepgram_engine_flags"} & host.unrendered.keys() and _has_form(host):
            yield from _agent(context, host)


def _has_form(host: Host) -> bool:
    """Whether the list is one that the schema takes: what is wrong there is said there."""
    found = host.vars.get(_LIST)
    named = isinstance(found, list) and all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in found)
    return found in (None, "", _ONE_PER_GPU) or named


def _count(host: Host) -> int:
    """How many GPUs the inventory says that the server has; 0 where it does not say."""
    text = str(host.vars.get(_COUNT) or "")
    return int(text) if text.isdigit() else 0


def _gpus(context: Context, host: Host, engines: list[Engine]) -> Iterator[Problem]:
    listing = host.vars.get(_LIST)
    at = _LIST if listing else _DEVICES
    if not engines:
        fix = f"set {_COUNT} to the number of its GPUs, or name them in {_DEVICES}"
        yield context.problem(
            host, _LIST, "an Engine for each GPU, and nothing says how many GPUs there are", fix, _ONE_PER_GPU
        )
        return
    for engine in engines:
        if slices := [one for one in engine["gpus"] if _MIG.match(str(one))]:
            fix = "give whole GPUs: Deepgram's Engine supports no MIG"
            yield context.problem(host, at, f"{_name(engine)} is given a slice of a GPU", fix, listed(slices))
        if len(engines) > 1 and _ALL in engine["gpus"]:
            fix = 'give each Engine its own, such as gpus: ["nvidia.com/gpu=0"]'
            yield context.problem(host, _LIST, f"{_name(engine)} is given all GPUs, beside other Engines", fix, _ALL)
        yield from _how_many(context, host, engine, at)
    yield from _twice(context, host, engines)
    yield from _beyond(context, host, engines, at)


def _how_many(context: Context, host: Host, engine: Engine, at: str) -> Iterator[Problem]:
    """Aura takes exactly two GPUs, Flux TTS one: with fewer it does not start, more it does not use."""
    exact = _row(host, engine).get("gpus")
    count = _count(host) if engine["gpus"] == [_ALL] else len(engine["gpus"])
    if exact and count and count != exact:
        title = _row(host, engine)["title"].partition(",")[0]
        fix = f"name {exact} in {'gpus' if at == _LIST else _DEVICES}; further GPUs are for further Engines ({_LIST})"
        what = f"{_name(engine)} runs {title}, which takes exactly {exact} GPU{'s' if exact > 1 else ''}"
        yield context.problem(host, at, what, fix, f"{count}")


def _twice(context: Context, host: Host, engines: list[Engine]) -> Iterator[Problem]:
    owners: dict[str, list[str]] = {}
    for engine in engines:
        for device in engine["gpus"]:
            owners.setdefault(str(device), []).append(engine["name"])
    for device, names in owners.items():
        if len(names) > 1 and device != _ALL:
            fix = "give it to one of them: Engines cannot share a GPU"
            yield context.problem(host, _LIST, f"a GPU is given to {listed(names)}", fix, device)


def _beyond(context: Context, host: Host, engines: list[Engine], at: str) -> Iterator[Problem]:
    count = _count(host)
    numbers = [re.fullmatch(r"nvidia\.com/gpu=(\d+)", str(device)) for engine in engines for device in engine["gpus"]]
    far = [number[0] for number in numbers if number and count and int(number[1]) >= count]
    if far:
        fix = f"GPUs count from 0: give one below {count}, or correct {_COUNT}"
        yield context.problem(host, at, f"a GPU that the server does not have ({_COUNT} is {count})", fix, listed(far))


def _name(engine: Engine) -> str:
    return f"the Engine {engine['name']}" if engine["name"] else "the Engine"


def _servers(host: Host) -> list[Any]:
    """The filter's view of each Engine: its values, its product."""
    module = content.filters("deepgram_topology")
    return [module.Server(host.vars, entry) for entry in module.entries(host.vars) or [{}]]


def _row(host: Host, engine: Engine) -> dict[str, Any]:
    module = content.filters("deepgram_topology")
    entry = next((one for one in module.entries(host.vars) if str(one.get("name")) == engine["name"]), {})
    return module.Server(host.vars, entry).product


def _required(context: Context, host: Host) -> Iterator[Problem]:
    profiles = content.filters("deepgram_topology").tables()[0]
    release = releases.date_of(str(host.vars.get("deepgram_release") or ""))
    for server in _servers(host):
        names = [*profiles.get(server.profile, {}).get("required", []), *server.product.get("required", [])]
        if "flux_tts.uuid" in server.product.get("engine_of", {}) and release >= WATERMARKED_FROM:
            names.append(WATERMARKER)
        for name in dict.fromkeys(names):
            if name not in host.unrendered and server.value(name) in (None, "", 0):
                engine = server.entry.get("name")
                short = name.removeprefix("deepgram_")
                fix = f"set {name}" + (f", or {short} of {engine} in {_LIST}" if engine else "") + _WHO.get(name, "")
                at = _LIST if engine else "deepgram_profile"
                yield context.problem(host, at, f"{server.profile} does not start without {name}", fix)


_WHO = {
    name: ": Deepgram's Account Representative knows it"
    for name in ("deepgram_flux_tts_uuid", "deepgram_flux_tts_max_batch_size", WATERMARKER)
} | {"deepgram_agent_kind": ": stt, flux, tts, flux_tts or eot"}


def _targets(context: Context, host: Host) -> Iterator[Problem]:
    """What proxies send to an Engine at a time is below what it takes, and enough for each proxy to send something."""
    at = "deepgram_target_inputs"
    for server in _servers(host):
        target, limit = str(server.value(at) or ""), server.limit()
        if at in host.unrendered or not target.isdigit():
            continue
        proxies = len(context.deployment.groups.get("proxy", ())) or 1
        place = _LIST if "target_inputs" in server.entry else at
        name = f"the Engine {server.entry['name']}" if server.entry.get("name") else "the Engine"
        if limit and int(target) >= limit:
            variable = (server.product.get("limit") or {}).get("variable", "its limit")
            what = f"{at} is not below what {name} takes ({limit}): it would refuse what the proxies still send"
            yield context.problem(host, place, what, f"give {limit - 1} or less, or raise {variable}", target)
        elif int(target) < proxies:
            what = f"{at} of {name} is below the number of proxies ({proxies}): some could send it nothing"
            yield context.problem(host, place, what, f"give {proxies} or more", target)


def _models(context: Context, host: Host, engines: list[Engine]) -> Iterator[Problem]:
    """An Engine of several without a model file of its product; links whose files have other names say nothing."""
    links = host.vars.get(_LINKS)
    if not isinstance(links, list) or not links or has(links, PLACEHOLDER) or _LINKS in host.unrendered:
        return
    for engine in engines:
        if engine["models"] == []:
            fix = f"add the links of its models to {_LINKS}, or name its files in `models` of {engine['name']}"
            what = f"none of {_LINKS} is a model of {_name(engine)} ({engine['profile']})"
            yield context.problem(host, _LIST, what, fix)


def _agent(context: Context, host: Host) -> Iterator[Problem]:
    """A voice agent needs Engines of three kinds behind its API: what hears, what speaks, what ends a turn."""
    needed = {"streaming_stt": "stt or flux", "tts": "tts or flux_tts", "eot": "eot"}
    layout = topology.layout(host)
    for api in layout["apis"]:
        if api["profile"] != "agent":
            continue
        beside = [engine["driver"] for engine in layout["engines"] if engine["component"] in api["engines"]]
        flags = host.vars.get("deepgram_engine_flags")
        has_flags = set(beside) or (set(flags.values()) if isinstance(flags, dict) else set())
        for driver, kinds in needed.items():
            if driver not in has_flags:
                at = _LIST if host.vars.get(_LIST) else "deepgram_profile"
                fix = f"add an Engine with profile agent and deepgram_agent_kind {kinds}"
                yield context.problem(host, at, f"the voice agent has no Engine of the kind {kinds}", fix)
