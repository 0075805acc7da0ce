"""GPUs side by side: from the one that Deepgram names as the least to those of the fleet, with what benches found of each."""

from __future__ import annotations

from typing import Any

from dgctl import content
from dgctl.bench.job import FILES, STREAMS, TTS
from dgctl.bench.questions import SPEAKING
from dgctl.bench.retained import Kept
from dgctl.capacity.servers import Server

LEAST = "Tesla T4"  # Deepgram, "Designing Your Architecture": an NVIDIA T4 or better with 16 GB; no figure of it is published
HEADINGS = ("GPUs of a server", "memory", "capability", "servers")
UNITS = {STREAMS: "streams", FILES: "files a minute", TTS: "texts a minute"}
UNKNOWN = "-"


def kinds(profile: str) -> tuple[str, ...]:
    """What benches measure of a profile."""
    return (TTS,) if profile in SPEAKING else (STREAMS, FILES)


def headings(profile: str) -> tuple[str, ...]:
    return *HEADINGS, *(UNITS[kind] for kind in kinds(profile))


def rows(servers: list[Server], results: list[Kept], profile: str) -> list[tuple[str, ...]]:
    """A row a kind of server, the least first; what nobody measured is a dash."""
    known = {
        str(card["name"]): card for card in content.tables(content.root(), "gpus").get("_platform_gpus", {}).values()
    }
    counts: dict[str, int] = {LEAST: 0} if _may(profile, known.get(LEAST, {})) else {}
    for one in servers:
        if one.profile == profile and one.gpus:
            counts[one.gpus] = counts.get(one.gpus, 0) + 1
    measured = [one for one in results if one.about.get("profile", "stt") == profile]
    for one in measured:
        counts.setdefault(one.about.get("gpus", ""), 0)
    counts.pop("", None)

    def place(name: str) -> tuple[float, int]:
        card = known.get(_first(name), {})
        return float(card.get("compute_capability") or 0), int(card.get("memory_mib") or 0) * (name.count("+") + 1)

    names = sorted(counts, key=place)
    return [_row(name, known.get(_first(name), {}), counts[name], measured, kinds(profile)) for name in names]


def _row(name: str, card: dict[str, Any], count: int, results: list[Kept], of: tuple[str, ...]) -> tuple[str, ...]:
    memory = f"{card['memory_mib'] / 1024:.0f} GB" if card else UNKNOWN
    times = f"{name.count('+') + 1} x " if "+" in name else ""
    shown = f"{times}{_first(name)}" + (" (the least)" if name == LEAST else "")
    found = [_holds(results, name, kind) for kind in of]
    return shown, memory, str(card.get("compute_capability", UNKNOWN)), str(count), *found


def _holds(results: list[Kept], gpus: str, kind: str) -> str:
    """What the last bench of each such server found: `40`, `38 to 41`."""
    last: dict[str, Kept] = {}
    for one in results:
        if one.kind == kind and one.about.get("gpus") == gpus:
            last.setdefault(one.host, one)
    found = sorted(one.holds for one in last.values())
    if not found:
        return UNKNOWN
    length = {f"{one.file_s:.0f} s" for one in last.values() if one.file_s}
    shown = str(found[0]) if found[0] == found[-1] else f"{found[0]} to {found[-1]}"
    return f"{shown} of {' and '.join(sorted(length))}" if length else shown


def _may(profile: str, card: dict[str, Any]) -> bool:
    """Whether Deepgram lets this GPU serve the profile."""
    table = content.tables(content.root(), "profiles").get("_platform_profiles", {})
    least = (table.get(profile) or {}).get("minimums") or {}
    return bool(card) and float(card["compute_capability"]) >= float(least.get("gpu_compute_capability") or 0)


def _first(name: str) -> str:
    return name.split(" + ", 1)[0]
