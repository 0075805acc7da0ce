"""deepgram_signatures: what lines mean, what to do; and that no ordinary line means anything."""

import re
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.log_forms import FORMS, inserted, new, reported
from tests.roles_app.conftest import ROOT, load

from ansible.module_utils.deepgram import log  # isort: skip
from ansible.module_utils.deepgram import signatures  # isort: skip

LICENCE, PROXY = "https://license.deepgram.com", "https://10.0.0.7:8443"
# (event as one of the programs logs it, name of the signature). Each signature of the table is here.
LINES = [
    ("Missing license configuration", "no key"),
    (f"Aegis request to {LICENCE} failed: 401 Unauthorized", "key refused"),
    (f"Aegis request to {PROXY} failed: HTTP status client error (401 Unauthorized)", "key refused"),
    (f"Aegis request to {LICENCE} failed: status 401", "key refused"),
    (f"Aegis request to {LICENCE} failed status=401", "key refused"),
    (f"Aegis request to {LICENCE} failed: 401: no self-hosted access", "key refused"),
    (f"Aegis request to {LICENCE} failed: TimedOut elapsed_ms=401 id=7-401-9 took 1.401", "licence server unreachable"),
    (
        f"Aegis request to {LICENCE} failed: error trying to connect: dns error: failed to lookup address",
        "licence server has no address",
    ),
    (f"Aegis request to {LICENCE} failed: Kind(TimedOut)", "licence server unreachable"),
    (f"Aegis request to {LICENCE} failed: Connection refused (os error 111)", "licence server unreachable"),
    (f"Aegis request to {PROXY} failed: Connection refused (os error 111)", "license proxy unreachable"),
    (
        "/bin/impeller: error while loading shared libraries: libicui18n.so.74: cannot open shared object file",
        "LD_LIBRARY_PATH",
    ),
    ("/bin/impeller: error while loading shared libraries: libcuda.so.1: cannot open shared object file", "no libcuda"),
    ("insufficient devices for inferencer configuration: expected at least 1; found 1", "too few GPUs"),
    ("GPU required by [health] gpu_required, but no GPU device is available", "no GPU"),
    ("Error: no GPUs were found", "no GPU"),
    ("no CUDA-capable device is detected", "no GPU"),
    ("Can't find flux-general-multi model", "Flux model missing"),
    ("error: unexpected argument '--log-format' found", "--log-format unknown"),
    ("missing field `socket_path`", "image too old for Flux"),
    ("Unable to read model search path /models: No such file or directory", "models unreadable"),
    ('Failed to load model err=Manifest("no manifest")', "model of another project"),
    ("Failed to load model err=NoManifest: Manifest not found", "model of another project"),
    ("Failed to load model err=Corrupt", "model refused"),
    ("Certificates have expired. This release is past its end of life", "certificates expired"),
    ("invalid peer certificate: certificate has expired", "certificates expired"),
    ("unknown field `x`, expected one of", "configuration not understood"),
    ("Unable to parse configuration file", "configuration not understood"),
    ("Configuration file not found at /x.toml. Falling back to default/bundled configuration", "default configuration"),
    ("Using devices: CPU", "CPU"),
    ("Running model on device cpu", "CPU"),
    ("Inference half_precision=false", "half precision off"),
    ("audio_window_end increased by more than 3 frames", "Flux overload"),
    ("Unable to get model info from Engine with any drivers", "Engine not reached"),
]
SAMPLES = {
    "flux_page_refused": "Flux not enabled",
    "flux_page_missing_model": "Flux model missing",
    "flux_page_old_image": "image too old for Flux",
    "flux_page_out_of_memory": "GPU memory",
    "flux_page": None,
    "log_formats_page": None,
}


def name(found):
    return found and found.name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("line", "expected"), LINES)
def test_lines_are_recognised_in_every_form(form, line, expected):
    found = signatures.diagnose(
        log.events(reported(form, "Listening on http://0.0.0.0:8080") + reported(form, line, "ERROR"))
    )
    assert name(found) == expected and line in found.line
    assert found.meaning and found.remediation and "{" not in found.remediation.replace("{half_precision: {", "")


def test_half_precision_as_a_field_in_every_form():
    for form in FORMS:
        assert (
            name(signatures.diagnose(log.events(reported(form, "Device", half_precision=False))))
            == "half precision off"
        ), form
        assert not signatures.diagnose(log.events(reported(form, "Device", half_precision=True))), form


@pytest.mark.parametrize(("sample", "expected"), SAMPLES.items())
def test_what_deepgram_publishes(sample, expected):
    text = (ROOT / f"tests/samples/deepgram/{sample}.txt").read_text()
    assert name(signatures.diagnose(log.events(text))) == expected


def test_every_signature_is_seen_here_and_names_its_source():
    seen = {expected for _, expected in LINES} | {expected for expected in SAMPLES.values() if expected}
    assert seen == {signature.name for signature in signatures.TABLE}
    for signature in (*signatures.TABLE, signatures.FIPS):
        assert signature.source and re.fullmatch(r"20\d\d-\d\d-\d\d", signature.read), signature.name


def test_no_key_is_not_a_refused_key():
    found = signatures.diagnose(["ERROR stem::config: Missing license configuration"])
    assert (
        "no key" in found.meaning and "set deepgram_api_key" in found.remediation and "refuses" not in found.remediation
    )
    assert "DEEPGRAM_API_KEY" in found.remediation


@pytest.mark.parametrize(
    ("url", "why", "words"),
    [
        (LICENCE, "Connection refused", f"reach {LICENCE}, port 443"),
        (PROXY, "Connection refused", f"see that {PROXY} runs"),
        (LICENCE, "dns error", f"make {LICENCE} resolve"),
        (PROXY, "dns error", f"make {PROXY} resolve"),
        (PROXY, "401 Unauthorized", "deepgram_api_key"),
    ],
)
def test_a_license_proxy_is_told_from_deepgrams_server(url, why, words):
    assert words in signatures.diagnose([f"ERROR stem::license: Aegis request to {url} failed: {why}"]).remediation


def test_fips_counts_only_where_it_is_asked_for():
    line = "INFO stem: FIPS openssl_fips_enabled=true has_fips_encryption=false"
    assert not signatures.diagnose([line])
    assert name(signatures.diagnose([line], fips=True)) == "not FIPS"
    assert not signatures.diagnose([line.replace("false", "true")], fips=True)


def test_what_is_harmless_is_in_the_table():
    assert {signature.name for signature in signatures.TABLE} >= signatures.HARMLESS


# Ordinary lines: of Deepgram's pages, and what the stand-ins say when all is well. {n} is any number, {t} any time.
ORDINARY = (
    "Starting API server host=0.0.0.0 port=8080", "License validated successfully expires={t}",
    "Engine connection established endpoint=engine:9991", "Listening on http://0.0.0.0:8080",
    "Using devices: Gpu(0), Gpu(1)", "Loading configuration from /config/engine.toml",
    "Setting GPU model cache size based on auto lookup table. gpu_id=Gpu(0) gpu_name=NVIDIA L4 size={n}",
    "Certificates information. beginning_of_support={t} end_of_support={t} end_of_life={t}",
    "Starting instance. instance={n:08x}-e79f-401a-bf73-{n:012x}", "Finished prewarming Flux model",
    "Response sent status=200 request_id={n:08x}-0401-4bf4-bf73-401 elapsed_ms={n}", "License check-in took {n} ms",
    "Received SIGTERM. No longer listening, finishing requests in flight", "Connected to an Engine engines={n}",
    "Model loaded successfully, ready to accept requests.", "Inference dtype=f16 half_precision=true",
    "FIPS openssl_fips_enabled=false has_fips_encryption=false", "Aegis request to https://license.deepgram.com took {n} ms",
)  # fmt: skip
moments = st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1)) | st.builds(
    lambda micro: datetime(2026, 4, 1, 4, 1, 40, micro),
    st.sampled_from([401, 401_000, 140_140, 14_401, 440_100, 500_503]),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ORDINARY), moments, st.integers(0, 10**6) | st.just(401), st.sampled_from(sorted(FORMS)))
def test_no_ordinary_line_at_any_time_has_a_remediation(words, moment, number, form):
    time = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06}Z"
    text = reported(form, words.format(n=number, t=time), now=time)
    assert not signatures.diagnose(log.events(text))
    engine = load("modules", "deepgram_service").FIXES
    assert not [pattern for pattern, _ in engine if re.search(pattern, text, re.IGNORECASE)]


def test_a_model_that_is_loaded_has_no_remediation():
    text = "".join(new(form, "a.en.batch.401.dg") + inserted(form, "a.en.batch.401.dg", "a") for form in FORMS)
    assert not signatures.diagnose(log.events(text))


def test_no_pattern_is_so_wide_that_a_time_matches_it():
    now = datetime.now(timezone.utc)
    for signature in signatures.TABLE:
        assert not re.search(signature.pattern, f"{now.isoformat()} 401 403 500 503", re.IGNORECASE), signature.name
