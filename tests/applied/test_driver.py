"""The NVIDIA driver: module, library, GPUs, persistence mode."""

import time

import pytest

GPU, OTHER = "0000:3b:00.0", "0000:5e:00.0"


@pytest.fixture
def driver(host):
    """driver(module, library, gpus, modes): such a driver is there."""

    def be(module="580.173.02", library="580.173.02", gpus=(GPU,), modes=("Enabled",), mig="[N/A]"):
        for path, text in (("sys/nvidia/version", module), (f"lib/x86_64-linux-gnu/libnvidia-ml.so.{library}", "")):
            (host.root / path).parent.mkdir(parents=True, exist_ok=True)
            (host.root / path).write_text(text + "\n")
        link = host.root / "lib/x86_64-linux-gnu/libnvidia-ml.so.1"
        link.unlink(missing_ok=True)
        link.symlink_to(f"libnvidia-ml.so.{library}")
        folder = host.root / "proc" / "gpus"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.rmdir()
        for gpu in gpus:
            (folder / gpu).mkdir()
        rows = [f"0000{gpu.upper()}, {mode}, {mig}" for gpu, mode in zip(gpus, modes, strict=False)]
        host.program("nvidia-smi", "".join(f"echo '{row}'\n" for row in rows))

    be()
    host.record(driver={"persistence": True})
    assert host.drift() == []
    return be


@pytest.mark.parametrize(
    ("what", "reported"),
    [
        ({"module": "575.1"}, ["driver: module 575.1 is loaded instead of 580.173.02"]),
        ({"module": ""}, ["driver: its kernel module is not loaded"]),
        ({"library": "590.2"}, ["driver: library 590.2 instead of 580.173.02"]),
        ({"gpus": (GPU, OTHER), "modes": ("Enabled", "Enabled")}, [f"GPU {OTHER}: is new"]),
        ({"gpus": (OTHER,)}, [f"GPU {GPU}: is gone", f"GPU {OTHER}: is new"]),
        ({"modes": ("Disabled",)}, [f"GPU {GPU}: persistence mode is Disabled"]),
        ({"mig": "Enabled"}, [f"driver: MIG is on on GPU {GPU}"]),
        (
            {"gpus": ()},
            [
                f"GPU {GPU}: is gone",
                "driver: persistence mode is not known: nvidia-smi says something else than asked for",
            ],
        ),
    ],
)
def test_each_difference(host, driver, what, reported):
    driver(**what)
    assert host.drift() == reported


def test_no_library(host, driver):
    (host.root / "lib/x86_64-linux-gnu/libnvidia-ml.so.1").unlink()
    assert host.drift() == ["driver: library none instead of 580.173.02"]


def test_debian_s_name_of_the_module(host, driver):
    (host.root / "sys" / "nvidia").rename(host.root / "sys" / "nvidia_current")
    assert host.drift() == []


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exec sleep 20\n", "nvidia-smi: no answer in 0.2 s"),
        ("echo No devices were found; exit 6\n", "nvidia-smi ended with status 6"),
        ("kill -9 $$\n", "nvidia-smi ended with status -9"),
    ],
)
def test_nvidia_smi_that_does_not_answer(host, driver, script, why):
    host.set("nvidia.driver", TIMEOUT_S=0.2)
    host.program("nvidia-smi", script)
    begin = time.monotonic()
    assert host.drift() == [f"driver: persistence mode is not known: {why}"]
    assert time.monotonic() - begin < 5


def test_no_nvidia_smi(host, driver):
    (host.root / "bin" / "nvidia-smi").unlink()
    host.patch.setenv("PATH", str(host.root / "bin"))
    assert host.drift() == ["driver: persistence mode is not known: nvidia-smi: No such file or directory"]


def test_without_persistence_nvidia_smi_is_not_asked(host, driver):
    host.program("nvidia-smi", f"touch {host.root}/asked\n")
    host.record(driver={"persistence": False})
    assert host.drift() == []
    assert not (host.root / "asked").exists()
