"""What the doctor is made of: programs side by side, apt's words, sources, signatures, the kernel's log."""

import base64
import subprocess
import time

import pytest
from ansible.module_utils.doctor import check as doctor_check
from ansible.module_utils.doctor import dpkg as doctor_dpkg
from ansible.module_utils.doctor import driver as doctor_driver
from ansible.module_utils.doctor import host as doctor_host
from ansible.module_utils.doctor import log as doctor_log
from ansible.module_utils.doctor import smi as doctor_smi
from ansible.module_utils.doctor import sources as doctor_sources
from ansible.module_utils.packages import openpgp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doctor.patient import NVIDIA_REPOSITORY, Patient, policy, smi_row


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """programs(name=script): they run side by side."""
    monkeypatch.setattr(doctor_host, "PATH", str(tmp_path))

    def start(**scripts):
        for name, script in scripts.items():
            (tmp_path / name).write_text("#!/bin/sh\n" + script)
            (tmp_path / name).chmod(0o755)
        return doctor_host.Programs({name: (name,) for name in scripts} | {"none": ("no-such-program",)})

    return start


def test_one_that_hangs_does_not_hold_up_the_rest(programs, monkeypatch):
    monkeypatch.setattr(doctor_host, "LIMIT_S", 1)
    monkeypatch.setattr(doctor_host, "SLOW", {})
    run = programs(stuck="exec sleep 60", other="exec sleep 60", quick="echo said; echo complaint >&2; exit 3")
    started = time.monotonic()
    assert run.reported("stuck").status is None and "no answer in" in run.reported("stuck").why
    assert run.reported("other").status is None
    assert run.reported("quick") == ("said\ncomplaint\n", 3, "quick ended with status 3")
    assert run.reported("none").status is None and "No such file" in run.reported("none").why
    assert run.reported("never asked") is None
    assert time.monotonic() - started < 30  # two limits would be two seconds: far from two hangs


def test_a_program_that_is_asked_later(programs):
    run = programs(first="echo 1")
    assert run.also("again", "first").text == run.also("again", "no-such-program").text == "1\n"


def test_a_check_that_breaks_is_no_fault_of_the_host():
    check = doctor_check.Check("x", lambda host: 1 / 0, "", "", "", "")
    found = doctor_check.judge(check, None)
    assert found["verdict"] == "skip" and "ZeroDivisionError" in found["seen"]


@given(st.text(max_size=2000))
@settings(deadline=None)
def test_any_text_is_one_line(text):
    line = doctor_check.one_line(text)
    assert len(line) <= 400 and "\n" not in line


# Free-form words of programs: whatever they say, the doctor keeps its head.


@pytest.fixture(scope="module")
def reused(tmp_path_factory):
    return Patient(tmp_path_factory.mktemp("reused"))


PROGRAMS = (
    "smi",
    "modinfo",
    "log",
    "secure_boot",
    "enrolled",
    "units",
    "apt_check",
    "apt_config",
    "apt_policy",
    "inside engine",
    "nginx",
    "service_units",
    "start_engine",
)
SERVICE_FILES = ("/etc/deepgram/engine/engine.toml", "/etc/resolv.conf", "/proc/net/route", "/proc/sys/fs/file-nr")
WORDS = (
    "a: b",
    ", ",
    "\n",
    "[N/A]",
    "NVRM: Xid (PCI:0): 79,",
    "  Installed: x",
    "x:",
    "Id=docker.service",
    "=",
    " *** 1 5",
)
SAID = st.text(max_size=300) | st.lists(st.sampled_from(WORDS)).map("".join)


@pytest.mark.parametrize("name", PROGRAMS)
@given(text=SAID, status=st.sampled_from([0, 1, 255, None]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_words_break_a_check(reused, name, text, status):
    before = reused.programs.answers.get(name)
    try:
        reused.say(name, text, status)
        broken = [one for one in reused.findings().values() if "cannot be inspected" in one["seen"]]
    finally:
        reused.programs.answers.pop(name)
        reused.programs.answers |= {name: before} if before else {}
    assert broken == []


@given(st.binary(max_size=300))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_breaks_a_check(reused, data):
    for path in (
        "/etc/docker/daemon.json",
        "/run/cdi/nvidia.yaml",
        "/etc/apt/sources.list",
        "/boot/grub/grub.cfg",
        *SERVICE_FILES,
    ):
        place = reused.root / path.lstrip("/")
        before = place.read_bytes() if place.exists() else None
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        try:
            broken = [one for one in reused.findings().values() if "cannot be inspected" in one["seen"]]
        finally:
            place.unlink() if before is None else place.write_bytes(before)
        assert broken == [], path


def test_xids():
    lines = [
        "[  1.0] NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        "kernel: NVRM: Xid (0000:5e:00): 13, Graphics Exception",
        "NVRM: loading NVIDIA UNIX Open Kernel Module",
    ]
    assert [(bus, number) for bus, number, _ in doctor_log.xids(lines)] == [("0000:3b:00", 79), ("0000:5e:00", 13)]


def test_the_worst_xid_is_told_first(patient):
    patient.log("NVRM: Xid (PCI:0000:3b:00): 119, GSP timeout", "NVRM: Xid (PCI:0000:3b:00): 79, off")
    assert patient.failing()["xid"].startswith("Xid 79 at 0000:3b:00 (also 119)")


@pytest.mark.parametrize("version", ["580.173.02", "580.142", "99.1"])
def test_module_files(patient, version):
    for name in ("nvidia.ko", "nvidia.ko.zst", "nvidia-current.ko.xz"):
        assert doctor_driver.MODULE_FILES.search(f"/lib/modules/{version}/updates/dkms/{name}")
    for name in ("nvidia-uvm.ko", "nvidia_drm.ko.xz", "i2c-nvidia-gpu.ko", "nvidia.ko.old"):
        assert not doctor_driver.MODULE_FILES.search(name)


def test_rows_of_nvidia_smi_and_its_complaints(patient):
    patient.smi(smi_row(), "Unable to determine the device handle for GPU1: 0000:5E:00.0: Unknown Error", status=255)
    found, reported = doctor_smi.cards(patient.host())
    assert list(found) == ["0000:3b:00.0"] and reported.startswith("Unable to determine")


def test_policy():
    text = policy("libcuda1", "580.173.02-1", NVIDIA_REPOSITORY, "590.48.01-1", "http://deb.debian.org/debian")
    text += "nvidia-dkms:\n  Installed: (none)\n  Candidate: 580.1\n  Version table:\n     580.1 500\n"
    text += "        500 https://n  Packages\n"
    origins, candidates = doctor_dpkg.read_policy(text)
    assert origins == {"libcuda1": {NVIDIA_REPOSITORY}}
    assert candidates == {"libcuda1": ("590.48.01-1", {"http://deb.debian.org/debian"})}


def test_sources_of_both_forms(patient):
    patient.write(
        "/etc/apt/sources.list", "# a\ndeb http://d/debian trixie main\ndeb-src http://d/debian trixie main\n"
    )
    patient.write("/etc/apt/sources.list.d/a.list", "deb [arch=amd64 signed-by=/k.gpg] https://n/$(ARCH)/ /\n")
    text = "# note\nTypes: deb deb-src\nURIs: http://d/debian\nSuites: trixie trixie-updates\nSigned-By: /d.gpg\n"
    patient.write(
        "/etc/apt/sources.list.d/b.sources", text + "\nEnabled: no\nTypes: deb\nURIs: http://off\nSuites: x\n"
    )
    found = [(one["uri"], one["suite"], one["key"]) for one in doctor_sources.entries(patient.host())]
    debian = [("http://d/debian", suite, "/d.gpg") for suite in ("trixie", "trixie-updates")]
    assert found == [("http://d/debian", "trixie", ""), ("https://n/amd64", "/", "/k.gpg"), *debian]


@pytest.mark.parametrize(
    ("uri", "suite", "name"),
    [
        ("http://deb.debian.org/debian", "trixie", "deb.debian.org_debian_dists_trixie_InRelease"),
        ("https://n/repos/debian13/x86_64", "/", "n_repos_debian13_x86%5f64_InRelease"),
        ("https://n/r", "./", "n_r_._InRelease"),
    ],
)
def test_the_names_of_apt_s_lists(uri, suite, name):
    assert doctor_sources.list_name({"uri": uri, "suite": suite}) == name


# Signatures: a key made here, or the test says that gpg is not there.


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    """signer(name): (public key, binary; a clear-signed text) of a key made for this test."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)

    def gpg(*words, text=""):
        command = ["gpg", "--homedir", home, "--batch", "--yes", "--pinentry-mode=loopback", "--passphrase="]
        return subprocess.run([*command, *words], input=text.encode(), capture_output=True, check=True).stdout

    def make(name):
        gpg("--quick-generate-key", f"{name}@test", "ed25519", "sign", "never")
        key = gpg("--export", f"{name}@test")
        return key, gpg("--local-user", f"{name}@test", "--clearsign", text=f"Origin: {name}\n").decode()

    yield make
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def test_who_signed(signer, patient):
    key, text = signer("ours")
    other_key, other_text = signer("other")
    assert openpgp.issuers(text) == openpgp.fingerprints(key) == openpgp.all_fingerprints(key)
    patient.write("/etc/apt/sources.list.d/nvidia-driver.sources",
                  "Types: deb\nURIs: copy:/n\nSuites: /\nSigned-By: /etc/apt/keyrings/n.gpg\n")  # fmt: skip
    listed = "/var/lib/apt/lists/_n_InRelease"
    entry = {"uri": "copy:/n", "suite": "/"}
    for given_key, given_text, verdict in (
        (key, text, "pass"),
        (other_key, text, "skip"),  # the list may be older than the key
        (key, other_text, "skip"),
        (key + other_key, text, "pass"),
        (b"\x00", text, "fail"),
        (key, "nothing signed", "skip"),
    ):
        patient.write("/etc/apt/keyrings/n.gpg")
        (patient.root / "etc/apt/keyrings/n.gpg").write_bytes(given_key)
        patient.write("/var/lib/apt/lists/" + doctor_sources.list_name(entry), given_text)
        found = patient.findings()["repositories"]
        assert found["verdict"] == verdict, (listed, found)
    armored = (
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + base64.encodebytes(key) + b"-----END PGP PUBLIC KEY BLOCK-----\n"
    )
    assert openpgp.all_fingerprints(openpgp.dearmor(armored)) == openpgp.fingerprints(key)


def test_what_the_repository_serves_now_counts(signer, patient, monkeypatch):
    key, text = signer("now")
    patient.write("/etc/apt/sources.list.d/nvidia-driver.sources",
                  "Types: deb\nURIs: https://n/x\nSuites: /\nSigned-By: /etc/apt/keyrings/n.gpg\n")  # fmt: skip
    patient.write("/etc/apt/keyrings/n.gpg")
    (patient.root / "etc/apt/keyrings/n.gpg").write_bytes(key)
    asked = []

    def ask(url, **_):
        asked.append(url)
        return doctor_sources.https.Answer(200, {}, text.encode())

    monkeypatch.setattr(doctor_sources.https, "ask", ask)
    assert patient.findings()["repositories"]["verdict"] == "pass"
    assert asked == ["https://n/x/InRelease"]
    text = signer("stranger")[1]
    found = patient.findings()["repositories"]
    assert found["verdict"] == "fail" and found["fix"] == "dgctl provision"


@given(st.text(max_size=400), st.binary(max_size=60))
@settings(deadline=None)
def test_damaged_signatures_say_nothing(text, body):
    block = base64.b64encode(b"\xc2" + bytes([len(body)]) + body).decode()
    signed = f"{text}-----BEGIN PGP SIGNATURE-----\n\n{block}\n-----END PGP SIGNATURE-----\n"
    assert isinstance(openpgp.issuers(signed), list)
