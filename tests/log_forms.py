"""Events of a Deepgram program's log in every form that it may be written in: what the lab's stand-ins write with."""

from lab.deepgram.programs.autoload import TARGET, asr_key
from lab.deepgram.programs.logs import FORMS, NAMELESS, Event
from lab.deepgram.programs.model_file import Model

NOW = "2026-11-21T05:51:58.003831Z"
NAMING = sorted(set(FORMS) - set(NAMELESS))  # the forms that say which file a line is about


def reported(form, message, level="INFO", target="impeller", spans=(), now=NOW, **fields):
    """One event as text, in a form of FORMS."""
    return FORMS[form](Event(level, target, message, fields, spans, now)) + "\n"


def new(form, file):
    return reported(form, "new", target=TARGET, spans=[("load_model", {"path": f"/models/{file}"})])


def refused(form, file, err='Manifest(TomlError { message: "expected one of `all`", span: Some(1..2) })', **how):
    spans = [("load_model", {"path": f"/models/{file}"})]
    return reported(form, "Failed to load model", "WARN", TARGET, spans, err=err, **how)


def inserted(form, file, name="nova-3-general", languages=("en",), mode="batch", key=None):
    """`mode`: batch or streaming; a Flux model says TurnTaking."""
    key = key or asr_key(Model(name, list(languages), mode, "55c02da4-e79f-4bf4-bf73-cd9dbfb21a18", "2025-12-02.74258"))
    return reported(
        form, "Inserting model", target=TARGET, spans=[("load_model", {"path": f"/models/{file}"})], key=key
    )
