"""The log of a Deepgram program in each format of --log-format: one line an event, and the models that an Engine names.

full, compact, pretty and json are formats of tracing_subscriber (github:tokio-rs/tracing, tracing-subscriber/src/fmt/format,
read 2026-11-29). Deepgram's own page (developers.deepgram.com/docs/log-formats, 2026) shows json with the fields beside the
message and without spans, and compact without targets and without the fields of spans: each of these forms is understood.
Nothing of Ansible is imported, so dgctl reads logs with it too.
"""

from __future__ import annotations

import json
import re

FORMATS = ("full", "compact", "pretty", "json")
SUFFIXES = (".dg", ".dgv2")
MODES = ("batch", "streaming")
# What a log says in place of MODES: `All`, `TurnTaking` (Flux, which streams). Source: the AsrKey on Deepgram's Flux page, and
# the modes that its error lists (`all`, `batch`, `streaming`); Batch and Streaming with a capital are inferred from those.
_MEANT = {"all": MODES, "turntaking": ("streaming",), **{mode: (mode,) for mode in MODES}}
# An Engine's one Flux model may come into service without a line of its name.
FLUX_MODELS = frozenset({"flux-general-en", "flux-general-multi"})
_PREWARMED = "Finished prewarming Flux model"
# Words by which the lines that `models` reads are found in a log.
MODEL_WORDS = ("Inserting model", _PREWARMED, "Failed to load model")

COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TIMED = re.compile(r"\s*\d{4}-\d\d-\d\d[T ]\d\d:")
_INSERTED = re.compile(r"Inserting model\b(?:.*?\{(.*)\})?", re.DOTALL)
_FAILED = re.compile(r"Failed to load model\b", re.IGNORECASE)
_PATH = re.compile(r"\bpath\s*[=:]\s*\"?([^\s\"',{}]+)")
_BARE = re.compile(r"[\w.-]+(?![\w.-]*\s*[(\[{])")  # a word that is no constructor, as List( and Some( are
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*|multi")


class Grouping:
    """Lines of a log, as they come, become events: one line each, spelled as the format full does.

    `TIME LEVEL span{fields}: target: message fields`. Each is given back with the mark of its first line.
    """

    def __init__(self):
        self.held, self.growing = None, False

    def add(self, line, mark=None):
        """[(mark, event)] of the event that is whole now that this line has come: none, or one."""
        line = COLOUR.sub("", line)
        record = _record(line)
        if self.growing and record is None and line[:1].isspace() and not _TIMED.match(line):
            self.held = (self.held[0], f"{self.held[1]} {line.strip()}".strip())
            return []
        if not line.strip():
            return []
        whole = self.rest()
        self.held, self.growing = (mark, line.strip() if record is None else _spelled(record)), record is None
        return whole

    def rest(self):
        """The same of the last event, when no more lines come."""
        whole = [self.held] if self.held else []
        self.held, self.growing = None, False
        return whole


def events(text):
    """Every event of a log as one line: see Grouping."""
    grouping = Grouping()
    found = [event for line in COLOUR.sub("", text).splitlines() for _, event in grouping.add(line)]
    return found + [event for _, event in grouping.rest()]


def _record(line):
    """The object in a line of the format json, else None."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"message", "fields", "level"} & found.keys() else None


def _spelled(record):
    """An object of the format json, flattened or not, with or without spans, as a line of the format full."""
    record = dict(record)
    listed = record.pop("spans", None)
    spans = [span for span in listed if isinstance(span, dict)] if isinstance(listed, list) else []
    current = record.pop("span", None)
    if isinstance(current, dict) and current not in spans:
        spans.append(current)
    nested = record.pop("fields", None)
    fields = {**(nested if isinstance(nested, dict) else {}), **record}
    head = [_text(fields.pop(key)) for key in ("timestamp", "level") if key in fields]
    where = "".join(f"{_span(span)}:" for span in spans)
    target, message = fields.pop("target", ""), fields.pop("message", "")
    words = [*head, where, f"{_text(target)}:" if target else "", _text(message), _pairs(fields)]
    return " ".join(word for word in words if word).replace("\n", " ")


def _span(span):
    fields = {key: value for key, value in span.items() if key != "name"}
    return f"{span.get('name', '')}{{{_pairs(fields)}}}" if fields else str(span.get("name", ""))


def _pairs(fields):
    return " ".join(f"{key}={_text(value)}" for key, value in fields.items())


def _text(value, inside=False):
    """A value of JSON as Rust's Debug writes it; a string that is no part of another value stands as it is."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key}: {_text(one, True)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_text(one, True) for one in value) + "]"
    return value if isinstance(value, str) and not inside else json.dumps(value)


class Loaded:
    """A model in service: its names, languages and modes (empty: not said), and where the log tells it the file's name."""

    def __init__(self, names=(), languages=(), modes=(), file=""):
        self.names, self.file = frozenset(names), file
        self.languages = frozenset(language.lower() for language in languages)
        self.modes = frozenset(mode for reported in modes for mode in meant(reported))

    def serves(self, file):
        """True when this is the model of a file named like nova-3-general.en.batch.a1b2.dg."""
        if self.file:
            return self.file == file
        name, *rest = stem(file).split(".")
        mode = next((word for word in rest if word in MODES), None)
        language = rest[0] if rest and _LANGUAGE.fullmatch(rest[0]) else None
        return (
            name in self.names
            and (mode is None or not self.modes or mode in self.modes)
            and (language in (None, "multi") or not self.languages or _speaks(self.languages, language))
        )


def stem(file):
    """The name of a model file without .dg or .dgv2."""
    return re.sub(r"\.dg(v2)?$", "", file)


def meant(mode):
    """The modes of MODES that a logged word means; none for a word that is not known, which restricts nothing."""
    return _MEANT.get(re.sub("[^a-z]", "", mode.lower()), ())


def _speaks(languages, language):
    """en-US is English too."""
    return any(known.split("-")[0] == language.lower().split("-")[0] for known in languages)


def models(found):
    """([Loaded], {file: line}) of the events of an Engine: what it has loaded; what it refused, and has not loaded since.

    A refused file is "" where the format leaves its name out.
    """
    loaded, refused = [], {}
    for line in found:
        inserted, failed = _INSERTED.search(line), _FAILED.search(line)
        if failed:
            refused[_file(line, failed)] = line
        elif inserted:
            loaded.append(_loaded(inserted.group(1) or "", _file(line, inserted)))
            refused = {file: why for file, why in refused.items() if not loaded[-1].serves(file)}
        elif _PREWARMED in line:
            loaded.append(Loaded(FLUX_MODELS))
    return loaded, refused


def _file(line, reported):
    """The model file that a line is about: of the span before the message, else of the fields after it, the span's being last."""
    before, after = _PATH.findall(line[: reported.start()]), _PATH.findall(line[reported.end() :])
    found = [path.rpartition("/")[2] for path in [*after, *before]]
    return next((file for file in reversed(found) if file.endswith(SUFFIXES)), found[-1] if found else "")


def _loaded(key, file):
    """The model of a logged `AsrKey { name: "…", languages: List([Language("en"), …]), mode: TurnTaking, … }`."""
    languages = [word for word in _words(key, "languages?") if _LANGUAGE.fullmatch(word) and word not in ("all", "any")]
    return Loaded(_words(key, "name"), languages, _words(key, "mode"), file)


def _words(key, field):
    """The strings in the value of a field of a logged key, or its bare words where nothing is quoted."""
    match = re.search(rf"\b{field}:\s*", key)
    value = _value(key[match.end() :]) if match else ""
    return re.findall(r'"([^"]*)"', value) or _BARE.findall(value)


def _value(text):
    """A text up to the comma or bracket that ends its first value."""
    depth = 0
    for position, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0 or (letter == "," and not depth):
            return text[:position]
    return text
