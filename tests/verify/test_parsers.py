"""What the checks read: nvidia-smi, PCI, metrics, certificates, models, containers, desired values."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dgctl import content
from dgctl.verify import certificates, containers, facts, gpus, metrics, models
from dgctl.verify.ask import Answer
from dgctl.verify.containers import Runtime
from dgctl.verify.desired import NAMES, desired
from tests import log_forms
from tests.log_forms import FORMS, NAMELESS
from tests.verify.world import BATCH

UUID = "GPU-3f1c2b4a-0000-1111-2222-333344445555"


def test_smi_csv_gives_gpus_and_leaves_out_error_text():
    lines = [f"{UUID}, Tesla T4, 00000000:3B:00.0, 15360, [N/A]", "No devices were found"]
    assert gpus.smi(lines) == [gpus.Gpu(UUID, "Tesla T4", "0000:3b:00.0", 15360, "[N/A]")]


def test_unreadable_memory_is_unknown_and_not_zero():
    assert gpus.smi([f"{UUID}, X, 00000001:3B:00.0, [Unknown Error], Enabled"])[0].memory_mb is None


def test_listed_uuids_without_mig_slices():
    lines = [
        "GPU 0: NVIDIA H200 (UUID: GPU-aaaaaaaa-1)",
        "  MIG 3g.40gb     Device  0: (UUID: MIG-bbbb)",
        "GPU 1: Odd (name) (UUID: GPU-cccccccc-2)",
        "Failed to initialize NVML: Driver/library version mismatch",
    ]
    assert gpus.listed(lines) == ["GPU-aaaaaaaa-1", "GPU-cccccccc-2"]


def test_pci_counts_display_and_3d_controllers_of_nvidia_only():
    lines = [
        "0000:86:00.0 0x10de 0x030200",
        "0000:3b:00.0 0x10de 0x030000",
        "0000:3b:00.1 0x10de 0x040300",
        "0000:06:00.0 0x10de 0x068000",
        "0000:01:00.0 0x1a03 0x030000",
    ]
    assert gpus.pci(lines) == ["0000:3b:00.0", "0000:86:00.0"]


def test_metric_value_sums_labels_and_ignores_longer_names():
    page = '# TYPE a gauge\na{kind="x"} 2\na{kind="y"} 3.5 1700000000\na_total 9\nbroken x\n'
    assert (metrics.value(page, "a"), metrics.value(page, "b"), metrics.value(page, "broken")) == (
        5.5,
        None,
        None,
    )


def test_metric_zero_is_not_absent():
    assert metrics.value("engine_max_active_requests 0\n", "engine_max_active_requests") == 0


@pytest.mark.parametrize(
    "reported",
    [
        "2027-05-15 3:25:28.0 +00:00:00",
        "2027-05-15 05:25:28.123 +02:00:00",
        "2027-05-15T03:25:28Z",
        "2027-05-15 03:25:28",
    ],
)
def test_every_spelling_of_a_moment(reported):
    assert certificates.moment(reported) == datetime(2027, 5, 15, 3, 25, 28, tzinfo=UTC)


def test_no_moment_is_an_error():
    with pytest.raises(ValueError, match="not a date"):
        certificates.moment("soon")


@given(st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1)), st.integers(-14, 14))
def test_moment_reads_what_deepgram_writes(when, hours):
    zone = f"{'-' if hours < 0 else '+'}{abs(hours):02}:00:00"
    reported = f"{when:%Y-%m-%d} {when.hour}:{when:%M:%S}.0 {zone}"
    assert certificates.moment(reported) == when.replace(microsecond=0, tzinfo=UTC) - timedelta(hours=hours)


def test_days_left_is_negative_after_the_end():
    now = datetime(2027, 5, 16, tzinfo=UTC)
    assert certificates.days_left("2027-05-15 0:00:00.0 +00:00:00", now) == -1


ENTRY = {
    "name": "general",
    "canonical_name": "nova-3-general",
    "architecture": "nova-3",
    "languages": ["en", "en-US"],
    "batch": True,
    "streaming": False,
}


@pytest.mark.parametrize("answer", [[ENTRY], {"stt": [ENTRY], "tts": []}])
def test_both_shapes_of_the_models_page(answer):
    (model,) = models.listed(answer)
    assert model.serves("nova-3-general.en.batch.a1b2.dg")
    assert not model.serves("nova-3-general.en.streaming.a1b2.dg")
    assert not model.serves("nova-3-general.es.batch.a1b2.dg")
    assert not model.serves("nova-3-medical.en.batch.a1b2.dg")


@pytest.mark.parametrize("answer", [None, "text", {"err_msg": "no"}, [], [["x"]], {"stt": None}])
def test_models_page_of_no_known_shape_lists_nothing(answer):
    assert models.listed(answer) == []


def answer(text: str) -> Answer:
    return Answer(0, text)


@pytest.mark.parametrize("form", FORMS)
def test_log_of_loaded_and_refused_models(form):
    """By the command that asks for the log: what it leaves out is missing here."""
    bad = "nova-3-general.en.streaming.2.dgv2"
    text = log_forms.new(form, BATCH) + log_forms.inserted(form, BATCH) + log_forms.reported(form, "Listening", port=1)
    text += log_forms.new(form, bad) + log_forms.refused(form, bad) + log_forms.new(form, "other.dg")
    (model,), refused = models.logged(models.events(answer(asked_for(text))))
    assert model.serves(BATCH) and not model.serves(bad)
    assert list(refused) == ([""] if form in NAMELESS else [bad])


def asked_for(text: str) -> str:
    """What Runtime.logged lets through of a container's log."""
    command = (
        Runtime("docker").logged("engine", facts.LOG_PATTERN).partition(" | tr -d '\"') deepgram-engine 2>&1 | ")[2]
    )
    return subprocess.run(["sh", "-c", command], input=text, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("words", "fields", "name"),
    [
        ("Using devices: CPU", {}, "CPU"),
        ("Running model on device cpu", {}, "CPU"),
        (
            "Configuration file not found at /x. Falling back to default/bundled configuration",
            {},
            "default configuration",
        ),
        ("Unable to read model search path /models", {}, "models unreadable"),
        ("Device", {"half_precision": False}, "half precision off"),
        ("FIPS", {"openssl_fips_enabled": True, "has_fips_encryption": False}, "not FIPS"),
    ],
)
def test_what_checks_look_for_leaves_the_host_in_every_form(form, words, fields, name):
    found = models.diagnose(models.events(answer(asked_for(log_forms.reported(form, words, **fields)))), fips=True)
    assert found.name == name


def test_a_log_that_could_not_be_read_has_no_events():
    assert models.events(Answer(1, "No such container")) == []


@pytest.mark.parametrize("file", ["flux-general-en.9f1a.dg", "flux-general-multi.en.streaming.9f.dg"])
def test_log_of_the_flux_model(file):
    """An Engine has one, and its line does not say which."""
    line = "2026-11-21T05:51:58.003831Z  INFO impeller::flux::prewarm: Finished prewarming Flux model"
    (model,), _ = models.logged(models.events(answer(asked_for(line))))
    assert model.serves(file) and not model.serves("nova-3-general.en.batch.a1b2.dg")


def test_model_files_of_both_suffixes_are_found(tmp_path):
    """A .dgv2 is what FIPS images, and Flux TTS since 261001, are given."""
    command = models.list_files(str(tmp_path))
    for name in ("a.dg", "b.dgv2", "c.dg.partial", ".sha256.json"):
        (tmp_path / name).write_text("12345")
    (tmp_path / "d.dg").mkdir()
    reported = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert models.read_sizes(reported.splitlines()) == {"a.dg": 5, "b.dgv2": 5}
    for name in ("a.dg", "b.dgv2"):
        (tmp_path / name).unlink()
        assert subprocess.run(["sh", "-c", command], check=True, capture_output=True).stdout.count(b"\n") == (
            name == "a.dg"
        )
    assert subprocess.run(["sh", "-c", models.list_files("/nowhere")], capture_output=True).returncode


WHOLE = {"a.dg": {"sha256": "ab", "size": 5}}


def test_fault_of_a_model_file_that_other_servers_have_otherwise():
    own, reported = {"file": "a.dg", "sha256": None}, {"file": "a.dg", "sha256": "ab"}
    assert models.fault(own, {"a.dg": 5}, WHOLE, "ab") == models.fault(reported, {"a.dg": 5}, WHOLE, "cd") == ""
    assert (
        models.fault(own, {"a.dg": 5}, WHOLE, "cd")
        == "recorded checksum is ab, that of other servers (models.lock) is cd"
    )


@pytest.mark.parametrize(
    ("sha256", "sizes", "records", "fault"),
    [
        (None, {"a.dg": 5}, WHOLE, ""),
        ("AB", {"a.dg": 5}, WHOLE, ""),
        (None, {"a.dg": 5}, {"a.dg": "ab"}, ""),
        (None, {}, WHOLE, "missing"),
        (None, {"a.dg": 5}, {}, "no checksum recorded"),
        ("cd", {"a.dg": 5}, WHOLE, "recorded checksum is ab, the inventory says cd"),
        (None, {"a.dg": 4}, WHOLE, "4 bytes, recorded 5"),
        (None, {"a.dg": 0}, {"a.dg": "ab"}, "empty"),
    ],
)
def test_fault_of_a_model_file(sha256, sizes, records, fault):
    assert models.fault({"file": "a.dg", "sha256": sha256}, sizes, records) == fault


DOCKER = (
    '{"state":{"Running":true,"Restarting":false,"Status":"running","StartedAt":"2026-11-21T05:00:00.123456789Z"},'
    '"policy":{"Name":"always"},"log":{"Type":"json-file","Config":{"max-size":"100m"}},"restarts":2}'
)
DIGEST = "sha256:" + "a" * 64


LAST = {"api_last": Answer(0, "first\nlast words\n")}


def test_container_of_docker():
    answers = {
        "api": Answer(0, DOCKER),
        "api_digests": Answer(0, f'["quay.io/deepgram/self-hosted-api@{DIGEST}"]'),
    }
    seen = containers.read(answers | LAST, "api")
    assert (seen.running, seen.policy, seen.restarts, seen.digests) == (True, "always", 2, {DIGEST})
    assert seen.started == datetime(2026, 11, 21, 5, tzinfo=UTC)
    assert seen.log_capped and not seen.looping


def test_container_of_podman_takes_restarts_from_its_unit():
    reported = (
        '{"state":{"Running":true,"Status":"running","StartedAt":"2026-11-21T07:00:00.1+02:00"},"restarts":0,'
        f'"policy":{{"Name":""}},"log":{{"Type":"journald"}},"digest":"{DIGEST}"}}'
    )
    unit = Answer(0, "Restart=always\nNRestarts=7")
    answers = {"api": Answer(0, reported), "api_digests": Answer(0, "[]"), "api_unit": unit}
    seen = containers.read(answers | LAST, "api")
    assert (seen.policy, seen.restarts, seen.digests, seen.log_capped) == ("always", 7, {DIGEST}, True)
    assert seen.started == datetime(2026, 11, 21, 5, tzinfo=UTC)


def test_container_that_is_not_there():
    answers = {"api": Answer(1, "", "No such container"), "api_last": Answer(1, "", "No such container")}
    assert containers.read(answers, "api") == containers.ABSENT
    unit = {"api_unit": Answer(0, "Restart=always\nNRestarts=4")}
    missing = containers.read(answers | LAST | unit, "api")
    assert (str(missing), missing.restarts, missing.running) == ("no such container, last words", 4, False)


@pytest.mark.parametrize(
    ("state", "reported"),
    [
        ('{"Running":false,"Status":"created","Error":"runc create failed"}', "created, runc create failed"),
        ('{"Running":false,"Status":"exited","Error":""}', "exited, last words"),
        ('{"Running":true,"Status":"running","Error":""}', "running"),
    ],
)
def test_container_that_is_not_well_says_why(state, reported):
    answers = {"api": Answer(0, f'{{"state":{state}}}'), "api_digests": Answer(1, "")}
    assert str(containers.read(answers | LAST, "api")) == reported


def test_never_started_is_no_time():
    assert containers.when("0001-01-01T00:00:00Z") is None


def test_unbounded_json_log_is_not_capped():
    log = {"Type": "json-file", "Config": {}}
    assert not containers.Container(True, False, "running", None, 0, "always", log=log).log_capped


def test_pinned_digest():
    images = {"containers": {"deepgram-api": {"digest": DIGEST, "release": "release-260812"}}, "pins": {}}
    assert containers.pinned(images, "api") == DIGEST


@pytest.mark.parametrize("images", [None, {}, {"containers": {"deepgram-engine": {"digest": DIGEST}}}, [], "x"])
def test_no_pinned_digest(images):
    assert containers.pinned(images, "api") is None


LINKS = [
    "https://models.test/entity-detector.en.batch.1.dg",
    "https://models.test/a/nova-2-general.es.streaming.1.dg",
    "https://models.test/a/nova-3-general.en.batch.1.dg?signature=hush",
    {"url": "https://models.test/nova-3-general.en.streaming.2.dg?sig=hush", "sha256": "ab"},
]


def test_wanted_holds_no_signature_and_no_secret():
    values = desired({"deepgram_models_links": LINKS, "deepgram_api_key": "hush", "deepgram_registry_password": "hush"})
    assert "hush" not in repr(values)
    assert values["models"][3] == {"file": "nova-3-general.en.streaming.2.dg", "sha256": "ab"}


@pytest.mark.parametrize(
    ("devices", "given"),
    [(["nvidia.com/gpu=all"], ["a", "b"]), (["nvidia.com/gpu=1"], ["b"]), (["nvidia.com/gpu=a"], ["a"]), ([], [])],
)
def test_gpus_that_the_engine_is_given(devices, given):
    assert gpus.handed_out(["a", "b"], devices) == given


def test_limit_of_the_engine_s_own_settings_counts():
    values = {"deepgram_engine_max_active_requests": 5, "deepgram_engine_settings": {"max_active_requests": 9}}
    assert desired(values)["deepgram_engine_max_active_requests"] == 9


def test_model_that_does_not_speak_the_language_gives_way():
    """The role's default takes the first link, whatever it speaks."""
    links = [LINKS[1], LINKS[2]]
    values = desired({"deepgram_models_links": links, "deepgram_verify_model": "nova-2-general"})
    assert values["speech"] == {"batch": "nova-3-general"}


def test_model_of_the_test_request_is_the_first_that_fits():
    assert desired({"deepgram_models_links": LINKS})["speech"] == {
        "batch": "nova-3-general",
        "streaming": "nova-3-general",
    }
    assert desired({"deepgram_models_links": LINKS, "deepgram_verify_language": "es"})["speech"] == {
        "streaming": "nova-2-general"
    }
    named = desired({"deepgram_models_links": LINKS, "deepgram_verify_model": "mine"})
    assert named["speech"] == {"batch": "mine", "streaming": "mine"}


def test_every_desired_value_is_a_variable_of_a_role():
    """A renamed variable would leave its check without anything to compare with."""
    specs = [yaml.safe_load(path.read_text()) for path in content.root().glob("roles/*/meta/argument_specs.yml")]
    known = {name for spec in specs for name in spec["argument_specs"]["main"]["options"]}
    assert set(NAMES) <= known


def test_value_that_needs_facts_counts_as_not_set():
    assert desired({"nginx_proxy_server_name": "{{ ansible_facts['fqdn'] }}"})["nginx_proxy_server_name"] is None
