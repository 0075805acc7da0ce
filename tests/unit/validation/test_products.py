"""Several Engines and products, from the desk: each wrong input beside the nearest right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.conftest import checkout, folder  # noqa: F401 - fixtures
from tests.unit.test_validation import here  # noqa: F401 - a fixture
from tests.unit.validating import add, only, problems

pytestmark = pytest.mark.usefixtures("here")

ENGINES = """
deepgram_engines:
  - {name: a, gpus: ["nvidia.com/gpu=0"]}
  - {name: b, gpus: ["nvidia.com/gpu=1"]}
"""
AURA = "deepgram_profile: aura\n"
TTS = "deepgram_profile: flux_tts\ndeepgram_flux_tts_uuid: 9c3cc12c-c0a2-4966-8676-f9fa22ab5401\n"
AGENT = """
deepgram_engines:
  - {name: ears, profile: agent, agent_kind: stt, gpus: ["nvidia.com/gpu=0"], models: ["nova-*"]}
  - {name: voice, profile: agent, agent_kind: tts, gpus: ["nvidia.com/gpu=1", "nvidia.com/gpu=2"], models: ["nova-*"]}
  - {name: turns, profile: agent, agent_kind: eot, gpus: ["nvidia.com/gpu=3"], models: ["nova-*"]}
"""


@pytest.mark.parametrize(
    "settings",
    [
        ENGINES,
        "deepgram_engines: one_per_gpu\npreflight_gpu_count: 2\n",
        'deepgram_engines: one_per_gpu\ndeepgram_gpu_devices: ["nvidia.com/gpu=0", "nvidia.com/gpu=3"]\n',
        AURA,
        AURA + 'deepgram_gpu_devices: ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]\n',
        TTS + "deepgram_flux_tts_max_batch_size: 16\n",
        AGENT,
    ],
)
def test_what_can_work_is_valid(settings: str) -> None:
    add(settings)
    assert problems() == []


WRONG = [
    (ENGINES.replace("gpu=1", "gpu=0"), "a GPU is given to a, b", "Engines cannot share a GPU"),
    (ENGINES.replace("gpu=1", "gpu=all"), "is given all GPUs, beside other Engines", "give each Engine its own"),
    (ENGINES + "preflight_gpu_count: 1\n", "a GPU that the server does not have", "give one below 1"),
    (ENGINES.replace("gpu=1", "gpu=1:0"), "is given a slice of a GPU", "supports no MIG"),
    ("deepgram_engines: one_per_gpu\n", "nothing says how many GPUs there are", "set preflight_gpu_count"),
    ("deepgram_engines: one_for_each\n", "deepgram_engines must be", ""),
    (ENGINES.replace("name: b", "name: a"), "a", ""),
    (ENGINES.replace("name: b, ", "nam: b, "), "nam", ""),
    (AURA + "preflight_gpu_count: 1\n", "takes exactly 2 GPUs", "name 2 in deepgram_gpu_devices"),
    (AURA + 'deepgram_gpu_devices: ["nvidia.com/gpu=0"]\n', "takes exactly 2 GPUs", "name 2"),
    (TTS, "flux_tts does not start without deepgram_flux_tts_max_batch_size", "Account Representative"),
    (TTS + "deepgram_flux_tts_max_batch_size: 0\n", "deepgram_flux_tts_max_batch_size", ""),
    (
        TTS + "deepgram_flux_tts_max_batch_size: 1\ndeepgram_release: release-261001\nnvidia_driver_branch: '580'\n",
        "deepgram_flux_tts_watermarker_uuid", "set deepgram_flux_tts_watermarker_uuid",
    ),
    (TTS.replace("9c3cc12c", "9C3CC12C") + "deepgram_flux_tts_max_batch_size: 1\n", "must be a UUID", "small letters"),
    (AGENT.replace("agent_kind: eot", "agent_kind: stt"), "the voice agent has no Engine of the kind eot", "agent_kind eot"),
    (AGENT.replace("agent_kind: tts, ", ""), "agent does not start without deepgram_agent_kind", "agent_kind of voice"),
    ("deepgram_profile: auro\n", "deepgram_profile must be one of", ""),
    ("deepgram_api_environment_secret: {OPEN_AI_KEY: x}\n", "deepgram_api_environment_secret", ""),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "what", "fix"), WRONG)
def test_what_cannot_work_is_refused_at_the_desk(settings: str, what: str, fix: str) -> None:
    add(settings)
    found = problems()
    assert any(what in problem.what + problem.where + problem.value and fix in problem.fix for problem in found), found
    assert all("group_vars" in problem.where or "gpu" in problem.where for problem in found)


def test_a_slip_costs_one_message() -> None:
    add(ENGINES.replace("gpu=1", "gpu=0"))
    assert only().value == "nvidia.com/gpu=0"


@pytest.mark.parametrize(
    ("links", "flux", "what"),
    [
        ("nova-3-general.en.batch.a1b2c3.dg", False, "images for FIPS read .dgv2 model files alone"),
        ("flux-general-en.en.streaming.6e5fc14.dgv2", True, "runs Flux, which images for FIPS do not have"),
    ],
)
def test_images_for_fips_take_their_own_files_and_no_flux(links: str, flux: bool, what: str, tmp_path: Path) -> None:
    add(f'deepgram_fips: true\ndeepgram_release: release-260812-fips\ndeepgram_models_links: ["https://m/{links}"]\n')
    add("deepgram_profile: flux\ndeepgram_flux_max_streams: 5\n" if flux else "")
    assert what in [problem.what for problem in problems()] or what in str(problems())


def test_a_release_without_the_product_is_refused_for_an_engine_of_it() -> None:
    add('deepgram_release: release-260319\ndeepgram_engines: [{name: a, profile: flux_tts, gpus: ["nvidia.com/gpu=0"], '
        "flux_tts_uuid: 9c3cc12c-c0a2-4966-8676-f9fa22ab5401, flux_tts_max_batch_size: 4}]\n")  # fmt: skip
    assert "lacks Flux TTS" in str(problems())
