"""The CDI file: what is wrong with one, and the flag that engines of before need."""

import os
import stat
from pathlib import Path

import nvidia_cdi
import pytest
from ansible.module_utils.host import systemd
from ansible.module_utils.host.whole_file import settle_rights
from ansible.module_utils.nvidia import cdi_spec

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
    ("reported", "old"),
    [
        ("Docker version 26.1.5+dfsg1, build a72d7cd", False),
        ("Docker version 25.0.3, build 4debf41", True),
        ("Docker version 29.7.2, build x", False),
        ("Docker version 26.1.0, build x", False),
        ("Docker version 26.0.9, build x", True),
        ("", False),
    ],
)
def test_engine_that_needs_the_flag(program, reported, old):
    program("docker", f"echo '{reported}'\n")
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
    assert len(found) == len(words) and all(word in fault for word, fault in zip(words, found))


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


DRIVER, DROP_IN = "580.173.02", "[Unit]\nBefore=docker.service\n"


class Host:
    """A server with the toolkit; the refresh unit writes `writes`, and fails where `refuses` says so."""

    def __init__(self, monkeypatch, tmp_path):
        self.spec, self.second, self.drop_in = (tmp_path / name for name in ("cdi.yaml", "second.yaml", "d/50.conf"))
        self.settings = tmp_path / "refresh.env"
        self.writes, self.names, self.driver, self.engine = SPEC, NAMES, DRIVER, "Docker version 29.7.2"
        self.enabled, self.watches, self.reload, self.refuses, self.did, self.lists = True, True, "no", "", [], 0
        for name, path in (("SPEC", self.spec), ("SETTINGS", self.settings), ("DROP_IN", self.drop_in)):
            monkeypatch.setattr(nvidia_cdi, name, str(path))
        monkeypatch.setattr(nvidia_cdi, "SECOND", (str(self.second), str(tmp_path / "none.json")))
        monkeypatch.setattr(nvidia_cdi.set_flag, "__defaults__", (str(self.settings),))
        monkeypatch.setattr(nvidia_cdi.add_drop_in, "__defaults__", (str(self.drop_in),))
        monkeypatch.setattr(nvidia_cdi, "loaded_version", lambda: self.driver)
        monkeypatch.setattr(nvidia_cdi, "pci_gpus", lambda: ["3B:00.0"])
        monkeypatch.setattr(nvidia_cdi.glob, "glob", lambda pattern: [pattern] if self.toolkit else [])
        for module in (nvidia_cdi, systemd):
            monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(nvidia_cdi, "restart", self.restart)
        self.toolkit = True

    def right(self):
        """As the module leaves it."""
        self.spec.write_text(SPEC)
        nvidia_cdi.add_drop_in(DROP_IN, False, str(self.drop_in))
        return self

    def run(self, argv, timeout=0):
        words = " ".join(argv[1:])
        if argv[-2:] == ["cdi", "generate"]:
            target = next(word for word in argv if word.startswith("NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=")).partition("=")[
                2
            ]
            Path(target).write_text(self.writes)
            return 0, "", ""
        if argv[0] == "nvidia-ctk":
            return self.lists, "".join(f"{name}\n" for name in ["Found 3 CDI devices", *self.names]), "it broke\n"
        if argv[0] == "docker":
            return 0, self.engine, ""
        if argv[0] == "journalctl":
            return 0, "Failed to initialize NVML\n", ""
        if argv[1] == "is-active" and argv[-1] != "nvidia-cdi-refresh.path":
            return 3, "", ""  # the service ends when it has written
        if argv[1] in ("is-enabled", "is-active"):
            return (0 if (self.enabled if argv[1] == "is-enabled" else self.watches) else 1), "", ""
        if argv[1] == "show":
            return 0, f"NeedDaemonReload={self.reload if argv[-1] == 'nvidia-cdi-refresh.service' else 'no'}\n", ""
        self.did.append(words)
        return (1, "", "it failed\n") if self.refuses == argv[1] else (0, "", "")

    def restart(self):
        self.did.append("refresh")
        if self.refuses == "refresh":
            return 1, "", ""
        self.spec.write_text(self.writes)
        return 0, "", ""


@pytest.fixture
def host(monkeypatch, tmp_path):
    return Host(monkeypatch, tmp_path)


@pytest.fixture
def module(call):
    return lambda **more: call("nvidia_cdi", engine="docker", full_cdi_from="26.1.0", drop_in=DROP_IN, **more)


ENABLED = ["enable nvidia-cdi-refresh.path nvidia-cdi-refresh.service", "start nvidia-cdi-refresh.path"]


def test_a_fresh_toolkit_is_enabled_and_the_specification_written(host, module):
    host.enabled, host.reload = False, "yes"
    assert module(check=True)["changed"] and host.did == [] and not host.drop_in.exists()
    result = module()
    assert result["changed"] and host.did == ["daemon-reload", *ENABLED, "refresh"]
    assert result["devices"] == NAMES and result["driver_version"] == DRIVER
    assert result["files"] == [str(host.spec), str(host.drop_in)] and host.drop_in.read_text() == DROP_IN
    host.enabled, host.reload = True, "no"
    host.did.clear()
    assert not module()["changed"] and not module(check=True)["changed"] and host.did == []


@pytest.mark.parametrize(
    ("state", "did"),
    [
        ({}, []),
        ({"enabled": False}, ENABLED),
        ({"watches": False}, ENABLED),
        ({"driver": "595.91.07", "writes": SPEC.replace(DRIVER, "595.91.07")}, ["refresh"]),
        ({"engine": "Docker version 25.0.3"}, ["refresh"]),
    ],
)
def test_what_is_not_right_is_mended_and_nothing_else(host, module, state, did):
    vars(host.right()).update(state)
    assert module(check=True)["changed"] is bool(did) and host.did == [] and not host.settings.exists()
    assert module()["changed"] is bool(did) and host.did == did
    assert host.settings.exists() is ("engine" in state)


def test_a_drop_in_that_is_missing_or_otherwise_is_written(host, module):
    host.right().drop_in.write_text("older")
    assert module(check=True)["changed"] and host.drop_in.read_text() == "older"
    assert module()["changed"] and host.drop_in.read_text() == DROP_IN and not module()["changed"]


def test_a_second_specification_is_set_aside(host, module):
    host.right().second.write_text("old")
    assert module(check=True)["changed"] and host.second.exists()
    assert module()["changed"] and not host.second.exists()
    retained = host.second.with_name("second.yaml.replaced-by-nvidia-cdi-refresh")
    assert retained.read_text() == "old" and not module()["changed"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            {"refuses": "enable"},
            "systemctl enable nvidia-cdi-refresh.path nvidia-cdi-refresh.service: it failed | Failed",
        ),
        ({"refuses": "start"}, "systemctl start nvidia-cdi-refresh.path: it failed | Failed to initialize NVML"),
        ({"refuses": "refresh"}, "systemctl restart nvidia-cdi-refresh.service: Failed to initialize NVML"),
        ({"writes": ""}, "The CDI specification is not right after a refresh: "),
        ({"names": []}, "nvidia-ctk lists 0 of 1 GPUs"),
        ({"lists": 1}, "not right after a refresh: it broke"),
        ({"driver": ""}, "No NVIDIA driver is loaded"),
    ],
)
def test_what_cannot_be_mended_is_a_failure(host, module, state, words):
    host.enabled = False
    vars(host).update(state)
    reported = module()
    assert reported["failed"] and words in reported["msg"] and reported["fix"]


@pytest.mark.parametrize("state", [{"driver": ""}, {"toolkit": False}])
def test_check_mode_before_the_roles_that_come_first(host, module, state):
    vars(host.right()).update(state)
    assert module(check=True) | {"invocation": 0} == {
        **{"changed": True, "devices": [], "driver_version": "", "files": [], "shared": [], "invocation": 0}
    }
