"""The host itself: system, disk, headers, Secure Boot, clock; and the module that puts all findings together."""

import functools
import importlib
import sys
import time
from collections import namedtuple

import pytest
from ansible.module_utils.host import os_release, outcome
from ansible.module_utils.preflight import host as preflight_host

from tests import yaml_file
from tests.paths import PROJECT

TABLE = yaml_file.read(PROJECT / "roles/platform/vars/main/systems.yml")["_platform_systems"]
SYSTEMS = list(TABLE.values())
TABLE = yaml_file.read(PROJECT / "roles/platform/vars/main/profiles.yml")["_platform_profiles"]
PROFILES = {name: row["minimums"] for name, row in TABLE.items()}
TRIXIE = {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"}


def verdicts(found):
    return [item["verdict"] for item in found]


def test_system():
    assert verdicts(preflight_host.system(SYSTEMS, TRIXIE, "x86_64")) == ["pass", "pass"]
    assert verdicts(preflight_host.system(SYSTEMS, TRIXIE, "aarch64")) == ["pass", "fail"]
    old = preflight_host.system(SYSTEMS, TRIXIE | {"VERSION_ID": "11"}, "x86_64")
    assert verdicts(old) == ["fail", "pass"] and "Debian 13" in old[0]["fix"]


def test_memory(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal:       32000000 kB\nMemFree: 1 kB\n")
    (found,) = preflight_host.memory(30000, str(tmp_path / "meminfo"))
    assert (found["verdict"], found["seen"]) == ("pass", "31250 MiB")
    assert verdicts(preflight_host.memory(40000, str(tmp_path / "meminfo"))) == ["fail"]


def test_disk(tmp_path):
    below = str(tmp_path / "not/yet/there")
    free = preflight_host.disk(below, 0, 0, False)[0]["seen"]
    assert str(tmp_path) in free
    assert verdicts(preflight_host.disk(below, 10**6, 0, False)) == ["fail"]
    assert verdicts(preflight_host.disk(below, 10**6, 1000, True)) == ["pass"]  # deployed: only what is missing
    assert verdicts(preflight_host.disk(below, 0, 10**18, True)) == ["fail"]


@pytest.fixture
def filesystems(monkeypatch, tmp_path):
    """filesystems(NAME=GB): the folders of this name, each with so much free; of those in `one` the filesystem is the same."""

    def go(one=(), flag=0, **free):
        stats = {}
        for number, (name, gb) in enumerate(free.items()):
            (tmp_path / name).mkdir()
            stats[str(tmp_path / name)] = (0 if name in one else number + 1, gb)
        stat, statvfs = preflight_host.os.stat, preflight_host.os.statvfs
        monkeypatch.setattr(
            preflight_host.os,
            "stat",
            lambda path, **more: (
                namedtuple("S", "st_dev st_mode")(stats[path][0], 0o40755) if path in stats else stat(path, **more)
            ),
        )
        monkeypatch.setattr(
            preflight_host.os,
            "statvfs",
            lambda path: (
                namedtuple("V", "f_bavail f_frsize f_flag")(int(stats[path][1] * 10**6), 1000, flag)
                if path in stats
                else statvfs(path)
            ),
        )
        return {name: str(tmp_path / name) for name in free}

    return go


def test_uploads_have_room_before_their_file_is_made(filesystems):
    """It is made beside one of another size; one that is there in its size needs nothing more."""
    at = filesystems(buffer=16.5, models=100)
    image = at["buffer"] + "/uploads.img"
    desired = {"image": image, "gb": "16"}
    assert verdicts(preflight_host.uploads({}, at["models"], 0)) == []
    assert verdicts(preflight_host.uploads(desired, at["models"], 10**12)) == ["pass"]
    (found,) = preflight_host.uploads({**desired, "gb": 17}, at["models"], 0)
    assert found["verdict"] == "fail" and found["seen"] == f"16.5 GB free at {at['buffer']}"
    assert "at least 17.0 GB" in found["expected"] and "nginx_proxy_upload_buffer_gb lower (0:" in found["fix"]
    (found,) = preflight_host.uploads(desired, at["buffer"], 10**9)
    assert (
        found["verdict"] == "fail"
        and "at least 17.0 GB" in found["expected"]
        and "1.0 GB of models" in found["expected"]
    )
    with open(image, "wb") as file:
        file.truncate(17 * 10**9)
    assert verdicts(preflight_host.uploads({**desired, "gb": 17}, at["models"], 0)) == ["pass"]
    assert verdicts(preflight_host.uploads({**desired, "gb": 18}, at["models"], 0)) == ["fail"]


def test_the_journal_has_a_filesystem_of_its_own(filesystems):
    """The models' has room; it is the journal's that counts, also while the journal's folder is not made yet."""
    at = filesystems(models=100, journal=0.9)
    desired = {"directory": at["journal"] + "/billing/journal", "minimum_gb": "1"}
    (found,) = preflight_host.journal(desired, at["models"], 0)
    assert found["verdict"] == "fail" and found["seen"] == f"0.9 GB free at {at['journal']}"
    assert "at least 1.0 GB" in found["expected"] and "preflight_min_journal_gb" in found["expected"]
    assert "billing_journal_dir" in found["fix"] and "dgctl journal" in found["fix"]
    assert verdicts(preflight_host.journal({**desired, "minimum_gb": 0}, at["models"], 0)) == ["pass"]
    assert verdicts(preflight_host.journal(desired, at["models"], 10**12)) == ["fail"]
    assert "models" not in preflight_host.journal(desired, at["models"], 10**12)[0]["expected"]


def test_beside_models_the_journal_needs_its_room_too(filesystems):
    at = filesystems(one=("models", "journal"), models=10, journal=10)
    desired = {"directory": at["journal"], "minimum_gb": 1}
    assert verdicts(preflight_host.journal(desired, at["models"], 8 * 10**9)) == ["pass"]
    (found,) = preflight_host.journal(desired, at["models"], 9.5 * 10**9)
    assert found["verdict"] == "fail" and "and 9.5 GB of models still to come" in found["expected"]


def test_a_journal_cannot_be_written_to_a_filesystem_that_is_read_only(filesystems):
    at = filesystems(flag=preflight_host.os.ST_RDONLY, models=100, journal=100)
    (found,) = preflight_host.journal({"directory": at["journal"], "minimum_gb": 1}, at["models"], 0)
    assert found["verdict"] == "fail" and "read-only" in found["seen"]


def test_without_billing_no_journal_is_asked_for(tmp_path):
    assert preflight_host.journal({}, str(tmp_path), 0) == []


def test_kernel_headers_that_are_there(tmp_path):
    release = preflight_host.platform.release()
    (tmp_path / release / "build").mkdir(parents=True)
    assert verdicts(preflight_host.kernel_headers(str(tmp_path))) == ["pass"]


@pytest.mark.parametrize(("candidate", "verdict"), [("6.12.48-1", "pass"), ("(none)", "fail")])
def test_kernel_headers_that_apt_has_or_has_not(program, tmp_path, candidate, verdict):
    program("apt-cache", f"echo 'linux-headers:'; echo '  Candidate: {candidate}'\n")
    program("apt-get", "echo 'E: no network' >&2; exit 100\n")
    (found,) = preflight_host.kernel_headers(str(tmp_path))
    assert found["verdict"] == verdict
    assert ("no network" in found["seen"]) == (verdict == "fail")


def test_clock(program):
    program("timedatectl", "echo no\n")
    assert verdicts(preflight_host.clock(time.time(), 30)) == ["pass", "skip"]
    program("timedatectl", "echo yes\n")
    assert verdicts(preflight_host.clock(time.time() - 3600, 30)) == ["fail", "pass"]


# What this machine's repositories have is asked once: with a kernel that they do not know, that takes fresh lists each time.
KNOWS = {family: functools.cache(knows) for family, knows in preflight_host.KNOWS.items()}


@pytest.fixture
def probe(call, tmp_path, monkeypatch):
    """probe(**changes): the whole module, for a host without GPU and network needs."""
    monkeypatch.setattr(preflight_host, "KNOWS", KNOWS)
    base = PROFILES["stt"]
    machine = {"models_dir": str(tmp_path), "deployed_mark": "/none", "controller_time": time.time()}
    given = {
        "machine": {"minimums": base, "base": base, "usual": base, **machine},
        "gpu": {"table": {}},
        "ports": {"nginx_config": "/none"},
        "registry": {"address": "127.0.0.1:1/dg"},
        "network": {},
    }

    def run(**changes):
        topics = {topic: values | changes.get(topic, {}) for topic, values in given.items()}
        return call("preflight_probe", check=True, systems=SYSTEMS, **topics)

    return run


def test_everything_in_one_call_and_nothing_changed(probe):
    result = probe(registry={"images": ["self-hosted-api"]})
    checks = {item["check"]: item for item in result["findings"]}
    assert not result.get("changed") and result["lowered"] == []
    assert {"operating system", "cpu cores", "memory", "disk", "clock", "registry 127.0.0.1"} <= set(checks)
    assert all(item["fix"] for item in result["findings"] if item["verdict"] == "fail")


def test_the_probe_asks_for_the_journal_s_room(probe, tmp_path):
    result = probe(machine={"journal": {"directory": str(tmp_path / "journal"), "minimum_gb": 10**9}})
    (found,) = (item for item in result["findings"] if item["check"] == "journal disk")
    assert found["verdict"] == "fail" and str(tmp_path) in found["seen"]


def test_a_bad_finding_fails_with_what_to_do_and_no_bad_one_passes(probe, monkeypatch):
    module = importlib.import_module("preflight_probe")
    finding = outcome.finding
    found = [finding("disk", False, "1 GB", "50 GB", "Free some."), finding("clock", True, "0 s", "30 s")]
    monkeypatch.setattr(module, "look", lambda *_: (found, [{"name": "x"}]))
    refused = probe()
    assert refused["failed"] and refused["findings"] == found and refused["lowered"] == []
    assert refused["moved"] == [{"name": "x"}]
    assert refused["msg"].startswith("1 of 2 preflight checks failed: disk. Fix: correct these, nothing has been")
    assert "- disk: 1 GB; expected 50 GB. Free some.\n" in refused["msg"]
    del found[0]
    assert "failed" not in probe()


def test_later_roles_are_told_which_system_this_is(probe, monkeypatch):
    monkeypatch.setattr(os_release, "fields", lambda: {"ID": "debian", "VERSION_ID": "13"})
    assert probe()["ansible_facts"] == {
        "ansible_distribution": "Debian",
        "ansible_distribution_version": "13",
        "ansible_distribution_major_version": "13",
        "ansible_pkg_mgr": "apt",
        "ansible_nvidia_leftovers": False,
    }


def test_lowered_minimums_are_told(probe):
    low = PROFILES["stt"] | {"cpu_cores": "1", "gpu_count": 0, "gpu_compute_capability": "6.1"}
    assert probe(machine={"minimums": low})["lowered"] == [
        {"name": "preflight_min_cpu_cores", "value": 1, "usual": 4},
        {"name": "preflight_min_gpu_compute_capability", "value": "6.1", "usual": "7.0"},
        {"name": "preflight_min_gpu_count", "value": 0, "usual": 1},
    ]


def test_profile_raises_what_nobody_set(probe):
    result = probe(machine={"usual": PROFILES["aura"], "minimums": PROFILES["stt"] | {"memory_mb": 1}})
    expected = {item["check"]: item["expected"] for item in result["findings"]}
    assert expected["cpu cores"] == "at least 8" and expected["memory"] == "at least 1 MiB"


def test_a_host_without_an_engine_is_asked_less(probe):
    """A value that was lowered for Engines raises nothing there, and one that was raised counts."""
    less = {**PROFILES["stt"], "cpu_cores": 1, "memory_mb": 900, "gpu_count": 0}
    asked = {"usual": less, "minimums": PROFILES["stt"] | {"memory_mb": "24000", "cpu_cores": 6}}
    result = probe(gpu={"engine": False}, machine=asked)
    expected = {item["check"]: item["expected"] for item in result["findings"]}
    assert expected["memory"] == "at least 900 MiB" and expected["cpu cores"] == "at least 6"
    assert not {"gpu count", "kernel headers", "nouveau", "registry 127.0.0.1"} & set(expected)


def test_secrets_do_not_come_back(probe):
    links = ["https://127.0.0.1:1/a.dg?signature=verysecret", {"url": "https://127.0.0.1:1/b.dg?signature=topsecret"}]
    result = probe(
        registry={"password": "hunter2hunter2", "release": "release-1", "images": ["self-hosted-api"]},
        network={"model_links": links},
    )
    text = str(result)
    assert "hunter2hunter2" not in text and "verysecret" not in text and "topsecret" not in text
    failed = {item["check"] for item in result["findings"] if item["verdict"] == "fail"}
    assert {"registry login", "model a.dg", "model b.dg"} <= failed


def test_usual_values_are_the_defaults():
    defaults = yaml_file.read(PROJECT / "roles/preflight/defaults/main.yml")
    assert {f"preflight_min_{key}": value for key, value in PROFILES["stt"].items()} == {
        key: value
        for key, value in defaults.items()
        if key.startswith("preflight_min_") and key != "preflight_min_journal_gb"  # of no profile
    }


@pytest.mark.controller_only
def test_modules_need_only_the_standard_library():
    allowed = {"ansible", *sys.stdlib_module_names}
    for folder in ("modules", "module_utils"):
        for path in sorted((PROJECT / "plugins" / folder).glob("*.py")):
            for line in path.read_text().splitlines():
                if line.startswith(("import ", "from ")):
                    assert line.split()[1].split(".")[0] in allowed, f"{path.name}: {line}"
