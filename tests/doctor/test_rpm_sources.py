"""Where the driver's packages come from, and whom dnf believes, on hosts of rpm."""

import base64

import pytest
from ansible.module_utils.doctor import doctor
from ansible.module_utils.doctor import rpm_repos as doctor_rpm_repos
from ansible.module_utils.host import https
from ansible.module_utils.packages import openpgp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doctor.patient import NEWER, OLDER, VERSION
from tests.doctor.rpm_patient import KMODS, history, lock, offers, packages, repository

CUDA = "https://developer.download.nvidia.com/compute/cuda/repos/rhel9/x86_64"
FUSION = "https://mirrors.rpmfusion.org/nonfree/el/updates/9/x86_64"
OURS, OTHER = "nvidia-driver", "rpmfusion-nonfree"


@pytest.fixture
def sourced(rpm):
    """NVIDIA's repository and RPM Fusion's, the driver from the first."""
    repository(rpm, OURS, CUDA)
    repository(rpm, OTHER, FUSION)
    history(rpm, *[(name, VERSION, OURS) for name in KMODS])
    return rpm


def sources(patient):
    return patient.findings()["driver sources"]


def test_one_source(sourced):
    found = sources(sourced)
    assert (found["verdict"], found["seen"]) == ("pass", CUDA) and sourced.failing() == {}


def test_what_dnf_does_not_know_is_not_judged(rpm):
    found = sources(rpm)
    assert found["verdict"] == "skip" and "dnf knows of" in found["seen"]


def test_modules_of_two_makers(sourced):
    packages(sourced, dict.fromkeys([*KMODS, "akmod-nvidia", "kmod-nvidia-5.14.0-503.el9.x86_64"], VERSION))
    found = sources(sourced)
    assert found["verdict"] == "fail" and "RPM Fusion's (akmod-nvidia, kmod-nvidia-5" in found["seen"]
    assert found["fix"].startswith(
        "on the server: dnf remove akmod-nvidia kmod-nvidia-5.14.0-503.el9.x86_64; then dgctl"
    )


def test_one_maker_s_module_and_what_it_was_built_into_are_one(rpm):
    packages(rpm, dict.fromkeys(["akmod-nvidia", "kmod-nvidia-5.14.0-503.el9.x86_64"], VERSION))
    assert sources(rpm)["verdict"] == "skip"


def test_packages_of_two_repositories(sourced):
    packages(sourced, dict.fromkeys(KMODS, VERSION) | {"nvidia-persistenced": OLDER})
    history(sourced, *[(name, VERSION, OURS) for name in KMODS], ("nvidia-persistenced", OLDER, OTHER))
    found = sources(sourced)
    assert found["seen"] == f"nvidia-persistenced from {OTHER}; the others from {CUDA}"
    assert "dnf remove nvidia-persistenced, excludepkgs=*nvidia*" in found["fix"]
    assert f"[{OTHER}] in /etc/yum.repos.d/{OTHER}.repo" in found["fix"]


def test_the_last_repository_counts_and_a_mirror_is_no_other_source(sourced):
    rows = [(name, VERSION, OURS) for name in KMODS[1:]]
    history(sourced, (KMODS[0], OLDER, OTHER), *rows, (KMODS[0], VERSION, OURS), (KMODS[0], VERSION, "@System"))
    assert sourced.host().packages().repositories()[KMODS[0]] == OURS
    assert sources(sourced)["verdict"] == "pass"
    history(sourced, *rows, (KMODS[0], VERSION, "a-mirror"))  # of the same version
    assert sources(sourced)["verdict"] == "pass"


def test_what_dnf_would_take_from_another_repository(sourced):
    offers(sourced, ("kmod-nvidia-open-dkms", NEWER, OTHER), ("nvidia-open", NEWER, OTHER))
    found = sources(sourced)  # nvidia-open is locked
    assert found["seen"] == f"dnf would take kmod-nvidia-open-dkms 3:{NEWER}-1.el9 from {OTHER}"
    assert "neither a lock nor an exclude" in found["cause"] and "excludepkgs" in found["fix"]


@pytest.mark.parametrize(("version", "origin"), [(OLDER, OTHER), (VERSION, OTHER), (NEWER, OURS)])
def test_what_dnf_would_not_take_from_elsewhere(sourced, version, origin):
    offers(sourced, ("kmod-nvidia-open-dkms", version, origin))
    assert sources(sourced)["verdict"] == "pass"


def test_locks_keep_another_source_away(sourced):
    lock(sourced, *KMODS)
    offers(sourced, *[(name, NEWER, OTHER) for name in KMODS])
    assert sources(sourced)["verdict"] == "pass"


def test_another_driver_that_is_only_on_offer_is_told(sourced):
    offers(sourced, ("akmod-nvidia", NEWER, OTHER))
    found = sources(sourced)
    assert found["verdict"] == "skip" and f"{OTHER} offers akmod-nvidia too" in found["seen"] and found["fix"]


def test_two_names_for_one_address_are_one_source(sourced):
    repository(sourced, "cuda-rhel9-x86_64", CUDA + "/")
    offers(sourced, ("kmod-nvidia-open-dkms", NEWER, "cuda-rhel9-x86_64"))
    assert sources(sourced)["verdict"] == "pass"


def test_a_repository_that_is_gone_says_nothing_of_the_others(sourced):
    sourced.remove(f"/etc/yum.repos.d/{OURS}.repo")
    offers(sourced, ("kmod-nvidia-open-dkms", NEWER, OTHER))
    assert sources(sourced)["verdict"] == "pass"


def test_a_tool_from_nvidia_s_repository_must_be_of_the_driver_s_version(sourced):
    have = dict.fromkeys([*KMODS, "libnvidia-ml"], VERSION) | {"nvidia-modprobe": NEWER}
    packages(sourced, have)
    history(sourced, *[(name, version, OURS) for name, version in have.items()])
    assert "nvidia-modprobe " + NEWER in sourced.failing()["package versions"]


def test_dnf_is_asked_where_an_engine_runs(monkeypatch):
    monkeypatch.setattr(doctor.families, "here", lambda: doctor.families.FAMILIES["dnf"])
    asked = [set(doctor.commands({"gpu": gpu, "engine": "docker"})) for gpu in (True, False)]
    assert ["dnf_offers" in names for names in asked] == [True, False]


# How dnf's files are read.


def test_files_of_repositories(patient):
    patient.write("/etc/os-release", 'ID=rocky\nVERSION_ID="9.6"\n')
    patient.write(
        "/etc/yum.repos.d/a.repo",
        "# [no]\n[on]\nbaseurl=https://m/$releasever/${releasever}\ngpgkey = file:///k/a\n  file:///k/b https://k/c\n"
        "[off]\nenabled = 0\n\n[too]\nmetalink=https://m/x\nEnabled=yes\n",
    )
    found = doctor_rpm_repos.repositories_of(patient.host())
    assert set(found) == {"on", "too"} and found["on"]["baseurl"] == "https://m/9/9"
    assert doctor_rpm_repos.keys(found["on"]) == ["/k/a", "/k/b"]
    assert doctor_rpm_repos.place(found, "too") == "https://m/x" and doctor_rpm_repos.place(found, "off") == "off"


@given(
    text=st.text(max_size=200)
    | st.lists(st.sampled_from(["[a]", "\n", "x=1", " y", "=", "$basearch", "#"])).map("".join)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_words_break_them(rpm, text):
    rpm.write("/etc/yum.repos.d/a.repo", text)
    rpm.say("dnf_offers", text)
    found = rpm.findings()
    assert [
        found[name]["seen"] for name in ("driver sources", "repositories") if "cannot be" in found[name]["seen"]
    ] == []


# Whom dnf believes.

KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-nvidia"


def trusted(patient):
    return patient.findings()["repositories"]


def test_a_key_that_is_not_there(sourced):
    repository(sourced, OURS, CUDA, gpgkey=f"file://{KEY}")
    found = trusted(sourced)
    assert found["verdict"] == "fail" and f"{OURS}: its key {KEY} is not there" in found["seen"]
    assert found["fix"] == "dgctl provision"
    repository(sourced, OURS, CUDA)
    repository(sourced, OTHER, FUSION, gpgkey=f"file://{KEY}")
    assert trusted(sourced)["verdict"] == "skip"  # rpm may have another's key already


@pytest.fixture
def signed(sourced, monkeypatch):
    """signed(served, ...): the finding where a repository asks for a signed index, and serves one by this key."""
    keys = {"ours": b"\x01" * 8, "stranger": b"\x02" * 8}
    sourced.write(KEY, "a key")
    monkeypatch.setattr(openpgp, "dearmor", lambda data: data)
    monkeypatch.setattr(openpgp, "all_fingerprints", lambda data: ["F" * 24 + keys["ours"].hex().upper()])
    bodies = {name: signature(key) for name, key in keys.items()}
    asked = []

    def ask(served, retained="", file="nvidia-container-toolkit", check="1"):
        sourced.remove("/etc/yum.repos.d")
        repository(sourced, "toolkit", "https://n/rpm/", file, repo_gpgcheck=check, gpgkey=f"file://{KEY}")
        if retained:
            sourced.write("/var/cache/dnf/toolkit-0a1b/repodata/repomd.xml.asc", bodies[retained])
        answer = https.Answer(200, {}, bodies[served].encode()) if served else https.Answer(404)
        monkeypatch.setattr(https, "ask", lambda url, **_: asked.append(url) or answer)
        return trusted(sourced)

    ask.asked = asked
    return ask


def signature(issuer):
    """A detached signature that names its issuer, and proves nothing."""
    body = b"\x04\x00\x01\x08" + b"\x00\x00" + b"\x00\x0a" + b"\x09\x10" + issuer
    packet = b"\xc2" + bytes([len(body)]) + body
    return f"-----BEGIN PGP SIGNATURE-----\n\n{base64.b64encode(packet).decode()}\n-----END PGP SIGNATURE-----\n"


def test_the_index_is_signed_by_the_key_beside_it(signed):
    assert signed("ours")["verdict"] == "pass" and signed.asked == ["https://n/rpm/repodata/repomd.xml.asc"]


def test_a_stranger_s_signature(signed):
    found = signed("stranger")
    assert found["verdict"] == "fail" and "toolkit: signed by 0202" in found["seen"]


def test_what_dnf_has_kept_may_be_older_than_the_key(signed):
    assert signed("", retained="stranger")["verdict"] == "skip"
    assert signed("ours", retained="stranger")["verdict"] == "pass"


def test_where_dnf_does_not_ask_for_a_signature_nobody_else_does(signed):
    assert signed("stranger", check="0")["verdict"] == "pass" and signed.asked == []


def test_others_repositories_are_not_asked(signed):
    assert signed("stranger", file="somebody")["verdict"] == "pass" and signed.asked == []
