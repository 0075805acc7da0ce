"""The bodies of the API's answers: transcripts of a file, messages of a stream, errors."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from aiohttp import web

NO_MODEL = "Bad Request: No such model/language/tier combination found."
FLUX_ON_V1 = (
    "V2_MODEL_ON_V1_LISTEN_ENDPOINT",
    "Flux models are not supported on the /v1/listen endpoint. "
    "Please use the /v2/listen endpoint for conversational speech-to-text requests.",
)


def error(status: int, code: str, message: str, request_id: str) -> web.Response:
    headers = {"dg-error": message, "dg-request-id": request_id}
    body = {"err_code": code, "err_msg": message, "request_id": request_id}
    return web.json_response(body, status=status, headers=headers)


def asked(query: Mapping, *names: str) -> bool:
    return any(query.get(name, "").lower() == "true" for name in names)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def model_info(model: dict) -> dict:
    name = model["canonical_name"].removeprefix(model["architecture"] + "-")
    return {
        "name": f"{name}-{model['architecture']}",
        "version": model["version"],
        "arch": model["architecture"],
    }


def alternative(words: list[dict], query: Mapping) -> dict:
    """One hypothesis: the transcript and its words, punctuated where the request asks for it."""
    punctuated = asked(query, "punctuate", "smart_format", "paragraphs")
    shown = [word if punctuated else {k: v for k, v in word.items() if k != "punctuated_word"} for word in words]
    if asked(query, "diarize"):
        shown = [{**word, "speaker": 0} for word in shown]
    text = " ".join(word["punctuated_word" if punctuated else "word"] for word in words)
    confidence = sum(word["confidence"] for word in words) / len(words) if words else 0.0
    return {"transcript": text, "confidence": round(confidence, 6), "words": shown}


def _sentences(words: list[dict]) -> list[list[dict]]:
    groups: list[list[dict]] = [[]]
    for word in words:
        groups[-1].append(word)
        if word["punctuated_word"][-1:] in ".?!":
            groups.append([])
    return [group for group in groups if group]


def paragraphs(words: list[dict]) -> dict:
    sentences = [
        {
            "text": " ".join(word["punctuated_word"] for word in group),
            "start": group[0]["start"],
            "end": group[-1]["end"],
        }
        for group in _sentences(words)
    ]
    if not sentences:
        return {"transcript": "", "paragraphs": []}
    whole = {
        "sentences": sentences,
        "num_words": len(words),
        "start": words[0]["start"],
        "end": words[-1]["end"],
    }
    return {"transcript": "\n" + " ".join(one["text"] for one in sentences), "paragraphs": [whole]}


def utterances(channels: list[list[dict]], query: Mapping) -> list[dict]:
    """Runs of words with less than `utt_split` seconds between them."""
    split, found = float(query.get("utt_split", 0.8)), []
    for channel, words in enumerate(channels):
        runs: list[list[dict]] = []
        for word in words:
            if not runs or word["start"] - runs[-1][-1]["end"] >= split:
                runs.append([])
            runs[-1].append(word)
        for run in runs:
            times = {"start": run[0]["start"], "end": run[-1]["end"]}
            found.append({**times, "channel": channel, "id": str(uuid.uuid4()), **alternative(run, query)})
    return sorted(found, key=lambda one: one["start"])


def transcript(heard: dict, query: Mapping, request_id: str) -> dict:
    """The body of a batch /v1/listen, from what the Engine heard."""
    model = heard["model"]
    heard_channels = heard["channels"] if asked(query, "multichannel") else heard["channels"][:1]
    channels = []
    for words in heard_channels:
        best = alternative(words, query)
        if asked(query, "paragraphs", "smart_format"):
            best["paragraphs"] = paragraphs(words)
        channel = {"alternatives": [best]}
        if asked(query, "detect_language"):
            channel |= {"detected_language": model["languages"][0], "language_confidence": 0.99}
        channels.append(channel)
    results = {"channels": channels}
    if asked(query, "utterances"):
        results["utterances"] = utterances(heard_channels, query)
    metadata = {
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": heard["sha256"],
        "created": now(),
        "duration": heard["duration"],
        "channels": len(channels),
        "models": [model["uuid"]],
        "model_info": {model["uuid"]: model_info(model)},
    }
    if query.getall("tag", []):
        metadata["tags"] = query.getall("tag")
    return {"metadata": metadata, "results": results}


def models_by_type(models: list[dict]) -> dict:
    """/v1/models of releases since 260630: an object with a list for each type, helper models included."""
    grouped: dict[str, list] = {"stt": [], "tts": []}
    for model in models:
        entry = {key: value for key, value in model.items() if key != "kind"}
        grouped.setdefault(model["kind"].replace("-", "_"), []).append(entry)
    return grouped
