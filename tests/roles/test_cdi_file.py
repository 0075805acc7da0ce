"""The CDI file: what is wrong with one, and the flag that engines of before need."""

import nvidia_cdi
import pytest

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
