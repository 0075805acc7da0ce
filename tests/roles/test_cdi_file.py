"""The CDI file: what is wrong with one, and the flag that engines of before need."""

import os
import stat

import nvidia_cdi
import pytest
from ansible.module_utils import cdi_spec
from ansible.module_utils.whole_file import settle_rights

SPEC = "- hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.173.02\n- hostPath: /x/libnvidia-ml.so.580.173.02\n"
NAMES = ["nvidia.com/gpu=0", "nvidia.com/gpu=GPU-1", "nvidia.com/gpu=all"]


def test_cdi_file_that_is_right():
    assert nvidia_cdi.faults(SPEC, NAMES, "580.173.02", 1) == []


@pytest.mark.parametrize(
    ("text", "names", "driver", "gpus"),
    [
        (SPEC, NAMES, "595.91.07", 1),
        ("", NAMES, "580.173.02", 1),
        (SPEC, NAMES, "580.173.02", 2),
        (SPEC, [], "580.173.02", 1),
        (SPEC + "libcuda.so.570.1.2\n", NAMES, "580.173.02", 1),
        (SPEC.splitlines()[1], NAMES, "580.173.02", 1),  # without libcuda
        ('cdiVersion: "1.9.0"\n' + SPEC, NAMES, "580.173.02", 1),
    ],
)
def test_cdi_file_that_is_stale(text, names, driver, gpus):
    assert len(nvidia_cdi.faults(text, names, driver, gpus)) == 1


@pytest.mark.parametrize(
    ("said", "old"),
    [
        ("Docker version 26.1.5+dfsg1, build a72d7cd", False),
        ("Docker version 25.0.3, build 4debf41", True),
        ("Docker version 29.7.2, build x", False),
    ],
)
def test_engine_that_needs_the_flag(program, said, old):
    program("docker", f"echo '{said}'\n")
    assert nvidia_cdi.engine_is_old("docker", "26.1.0") is old


def test_flag_keeps_the_user_s_lines(tmp_path):
    path = tmp_path / "refresh.env"
    path.write_text("NVIDIA_CTK_DEBUG=1\n")
    assert nvidia_cdi.set_flag(True, True, str(path)) and path.read_text() == "NVIDIA_CTK_DEBUG=1\n"
    assert [nvidia_cdi.set_flag(True, False, str(path)) for _ in range(2)] == [True, False]
    assert path.read_text() == f"NVIDIA_CTK_DEBUG=1\n{nvidia_cdi.FLAG}\n"
    assert nvidia_cdi.set_flag(False, False, str(path)) and path.read_text() == "NVIDIA_CTK_DEBUG=1\n"


HERE, ELSEWHERE = (f"GPU-{digit * 8}-1111-2222-3333-444444444444" for digit in "ab")
# As `nvidia-ctk cdi generate` writes devices by its default strategies, index and uuid (cmd/nvidia-ctk/cdi/generate).
DEVICES = f'devices:\n    - name: "0"\n    - name: "{HERE}"\n    - name: "all"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SPEC + DEVICES, []),
        (SPEC, []),  # --device-name-strategy=index
        (SPEC + DEVICES.replace(HERE, ELSEWHERE), [ELSEWHERE]),
        (SPEC + DEVICES + f'    - name: "{ELSEWHERE}"\n', [ELSEWHERE]),
    ],
)
def test_a_cdi_file_names_the_gpus_that_are_here(text, words):
    found = nvidia_cdi.faults(text, NAMES, "580.173.02", 1, {HERE})
    assert len(found) == len(words) and all(word in fault for word, fault in zip(words, found, strict=True))


def test_a_cdi_file_that_lacks_a_gpu_s_uuid():
    assert cdi_spec.wrong_uuids(DEVICES, {HERE, ELSEWHERE}) == f"lacks {ELSEWHERE}"


@pytest.fixture
def toolkit(tmp_path, monkeypatch, program):
    """A specification of the test's own; nvidia-ctk gives `current`, and the refresh unit writes it."""
    spec, current = tmp_path / "nvidia.yaml", tmp_path / "current.yaml"
    settings = tmp_path / "refresh.env"
    current.write_text(SPEC + DEVICES)
    settings.write_text("# a comment\nNVIDIA_CTK_CDI_GENERATE_FEATURE_FLAGS='no-flag'\n")
    # In place of the unit: it writes the file that it is told of, as nvidia-cdi-refresh.service does.
    program("nvidia-ctk", f'cat {current} > "$NVIDIA_CTK_CDI_OUTPUT_FILE_PATH"\nenv > {tmp_path}/env\n')
    monkeypatch.setattr(nvidia_cdi, "SPEC", str(spec))
    monkeypatch.setattr(nvidia_cdi.generated, "__defaults__", (str(settings),))
    monkeypatch.setattr(nvidia_cdi, "devices", lambda: (NAMES, ""))
    monkeypatch.setattr(nvidia_cdi, "gpu_information", lambda: f"GPU UUID: \t {HERE}\n")
    monkeypatch.setattr(nvidia_cdi, "refresh_now", lambda module: spec.write_text(current.read_text()))
    return tmp_path


@pytest.mark.parametrize(
    "foreign",
    [
        SPEC + DEVICES.replace(HERE, ELSEWHERE),
        SPEC + DEVICES + "# a line by hand\n",
        SPEC.replace("/usr/lib/x86_64-linux-gnu", "/opt") + DEVICES,
        SPEC.replace("- hostPath: /x/libnvidia-ml.so.580.173.02\n", "") + DEVICES,
    ],
)
def test_a_cdi_file_with_foreign_content_is_regenerated(toolkit, foreign):
    spec = toolkit / "nvidia.yaml"
    spec.write_text(foreign)
    assert nvidia_cdi.refresh(None, "580.173.02", 1) is True
    assert spec.read_text() == SPEC + DEVICES
    assert nvidia_cdi.refresh(None, "580.173.02", 1) is False


def test_a_cdi_file_in_another_order_is_as_good(toolkit, monkeypatch):
    spec = toolkit / "nvidia.yaml"
    spec.write_text("\n".join(reversed((SPEC + DEVICES).splitlines())))
    monkeypatch.setattr(nvidia_cdi, "refresh_now", None)
    assert nvidia_cdi.refresh(None, "580.173.02", 1) is False
    assert "NVIDIA_CTK_CDI_GENERATE_FEATURE_FLAGS=no-flag\n" in (toolkit / "env").read_text()


def test_a_file_s_mode_is_put_back(tmp_path):
    path = tmp_path / "nvidia.yaml"
    path.write_text(SPEC)
    path.chmod(0o601)
    assert settle_rights(path, 0o644, True) and stat.S_IMODE(os.stat(path).st_mode) == 0o601
    assert settle_rights(path, 0o644, False) and stat.S_IMODE(os.stat(path).st_mode) == 0o644
    assert not settle_rights(path, 0o644, False)
