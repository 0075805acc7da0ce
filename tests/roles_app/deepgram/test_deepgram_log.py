"""deepgram_log: what the log of a Deepgram program says, in every form in which it may be written."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests import log_forms
from tests.log_forms import FORMS, NAMELESS, NAMING, inserted, refused, reported
from tests.roles_app.conftest import ROOT

from ansible.module_utils.deepgram import log  # isort: skip

SAMPLES = ROOT / "tests/samples/deepgram"
BATCH, STREAM = "nova-3-general.en.batch.a1b2c3d.dg", "nova-3-general.en.streaming.b1b2c3d.dgv2"


def read(text):
    return log.models(log.events(text))


def sample(name):
    return (SAMPLES / f"{name}.txt").read_text()


def test_what_deepgram_publishes_of_a_loaded_model():
    (prewarmed, loaded), refusals = read(sample("flux_page"))
    assert loaded.serves("flux-general-en.caf79279.dg") and not refusals
    assert loaded.file == "flux-general-en.caf79279.dg" and loaded.names == {"flux-general-en"}
    assert loaded.languages == {"en", "en-au", "en-ca", "en-gb", "en-in", "en-nz", "en-us"}
    assert loaded.modes == {"streaming"} and prewarmed.names == log.FLUX_MODELS


def test_what_deepgram_publishes_of_a_refused_model():
    loaded, refusals = read(sample("flux_page_refused"))
    assert list(refusals) == ["flux-general-en.caf79279.dg"] and not loaded


def test_the_four_formats_that_deepgram_publishes_say_the_same():
    events = log.events(sample("log_formats_page"))
    assert len(events) == 3 + 3 + 2 + 3
    (full, compact, pretty, of_json) = (
        next(line for line in events[at:] if "Starting API server" in line) for at in (0, 3, 6, 8)
    )
    assert pretty.endswith("Starting API server host: 0.0.0.0 port: 8080")
    time = "2026-03-19T14:30:00.123456Z"
    assert compact == f"{time}  INFO serve: Starting API server host=0.0.0.0 port=8080"
    assert of_json.split() == full.replace("serve: ", "").split()


@pytest.mark.parametrize("form", FORMS)
def test_loaded_and_refused_models_in_every_form(form):
    text = reported(form, "Listening on http://0.0.0.0:8080")
    for file in (BATCH, STREAM):
        text += log_forms.new(form, file)
    text += inserted(form, BATCH) + refused(form, STREAM) + reported(form, "Finished prewarming Flux model")
    (loaded, flux), refusals = read(text)
    assert loaded.serves(BATCH) and not loaded.serves(STREAM) and flux.names == log.FLUX_MODELS
    assert list(refusals) == ([""] if form in NAMELESS else [STREAM])
    assert "Failed to load model" in next(iter(refusals.values()))
    assert len(log.events(text)) == 6
    assert {line[: len(log_forms.NOW)] for line in log.events(text)} == {log_forms.NOW}


@pytest.mark.parametrize("form", NAMING)
def test_a_refused_file_stays_refused_until_it_is_loaded(form):
    text = inserted(form, BATCH) + refused(form, BATCH) + refused(form, STREAM)
    assert set(read(text)[1]) == {BATCH, STREAM}
    assert set(read(text + inserted(form, BATCH))[1]) == {STREAM}


@pytest.mark.parametrize("form", NAMING)
def test_the_file_is_that_of_the_span_not_one_that_the_error_names(form):
    err = 'Io { path: "/tmp/other.dg", kind: NotFound }'
    assert list(read(refused(form, BATCH, err=err))[1]) == [BATCH]


@pytest.mark.parametrize("form", sorted(NAMELESS))
def test_a_model_without_a_file_is_told_by_its_key(form):
    (loaded,), _ = read(inserted(form, BATCH))
    assert loaded.file == "" and loaded.serves(BATCH) and not loaded.serves("nova-3-medical.en.batch.1.dg")


KEYS = {
    "as published in 2025": "AsrKey { name: nova-3-general, uuid: 1-2, mode: batch }",
    "as published in 2026": 'AsrKey { name: "nova-3-general", languages: List([Language("en")]), aliases: {}, mode: Batch }',
    "every mode": 'AsrKey { name: "nova-3-general", languages: List([Language("en")]), mode: All }',
    "bare languages": "AsrKey { name: nova-3-general, languages: [en, en-US], mode: Batch, architecture: Some(Nova3) }",
    "no list of languages": 'AsrKey { name: "nova-3-general", languages: Any, mode: Batch }',
    "unknown mode": 'AsrKey { name: "nova-3-general", mode: Whatever }',
}


@pytest.mark.parametrize("form", ["full", "compact-page"])
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_spellings_of_a_key(form, key):
    (loaded,), _ = read(inserted(form, BATCH, key=key))
    assert loaded.serves(BATCH)
    assert not loaded.serves("nova-3-general.es.streaming.1.dg") or "Whatever" in key or "All" in key


@pytest.mark.parametrize("wrap", [lambda key: key, lambda key: {"AsrKey": key}])
def test_a_key_that_is_an_object_of_json(wrap):
    """tracing's `valuable` writes structures so."""
    key = {"name": "nova-3-general", "languages": ["en"], "mode": "Batch", "formatted": False}
    line = json.dumps({"level": "INFO", "fields": {"message": "Inserting model", "key": wrap(key)}, "target": "t"})
    (loaded,), _ = read(line)
    assert loaded.serves(BATCH) and not loaded.serves("nova-3-general.es.batch.1.dg")
    assert not loaded.serves("nova-3-general.en.streaming.1.dg")


@pytest.mark.parametrize(
    ("mode", "modes"),
    [
        ("All", {"batch", "streaming"}),
        ("all", {"batch", "streaming"}),
        ("Batch", {"batch"}),
        ("Streaming", {"streaming"}),
        ("TurnTaking", {"streaming"}),
        ("turn-taking", {"streaming"}),
        ("Other", set()),
    ],
)
def test_modes(mode, modes):
    loaded = log.Loaded(["nova-3-general"], ["en"], [mode])
    assert loaded.modes == modes
    for one in ("batch", "streaming"):
        assert loaded.serves(f"nova-3-general.en.{one}.1.dg") is (one in modes or not modes)


@pytest.mark.parametrize(
    "file", ["flux-general-en.caf79279.dg", "flux-general-en.en.streaming.1.dgv2", "flux-general-en.dgv2"]
)
def test_what_stands_after_a_name_is_no_language_unless_it_looks_like_one(file):
    assert log.Loaded(["flux-general-en"], ["en"], ["TurnTaking"]).serves(file)
    assert not log.Loaded(["flux-general-multi"], ["en"], ["TurnTaking"]).serves(file)


def test_a_stack_trace_is_no_event_of_its_own_and_json_takes_no_lines_from_outside():
    text = "thread 'main' panicked at src/lib.rs:1:\nError: x\n  what():  CUDA error\n\n   |\n"
    assert log.events(text) == ["thread 'main' panicked at src/lib.rs:1:", "Error: x what():  CUDA error |"]
    assert len(log.events(reported("json", "one") + "  loose\n" + reported("json", "two"))) == 3


@pytest.mark.parametrize(
    "line", ["{", '{"a": 1}', "[1]", '{"message": 5}', '{"level": null, "span": 3, "spans": 4}', "", "  x"]
)
def test_any_text_is_read(line):
    assert log.models(log.events(line)) == ([], {})


def test_it_imports_nothing_of_ansible_and_runs_on_the_oldest_python():
    """dgctl loads it by its file (content.module); servers run it with Python 3.9."""
    for name in ("log", "signatures"):
        text = (ROOT / f"plugins/module_utils/deepgram/{name}.py").read_text()
        tree = ast.parse(text, feature_version=(3, 9))
        names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert names <= {"__future__", "json", "re", "collections"}, name


def test_no_code_asks_for_one_suffix_of_model_files_alone():
    """FIPS images are given .dgv2 files, and Flux TTS one since 261001."""
    alone = re.compile(r"\*\.dg\b|suffix\w* ?(==|!=) ?[\"']\.dg[\"']|(endswith|removesuffix)\([\"']\.dg[\"']\)")
    found = []
    for folder in ("bench", "dgctl", "lab", "playbooks", "plugins", "roles"):
        for path in [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".sh", ".yml", ".j2", "")]:
            lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
            found += [f"{path}: {line}" for line in lines if alone.search(line) and "dgv2" not in line]
    assert found == []


def test_every_sample_is_read_by_a_test():
    used = Path(__file__).read_text() + (Path(__file__).parent / "test_deepgram_signatures.py").read_text()
    assert [path.stem for path in sorted(SAMPLES.iterdir()) if f'"{path.stem}"' not in used] == []
