"""The doctor takes from secure_boot what the words of mokutil and the kernel's keyrings mean."""

import pytest

from tests.doctor.patient import NEWER

ON = "SecureBoot enabled\n"


@pytest.fixture
def signature(patient):
    """signature(signer, ...): the finding on a module that waits for the next boot."""

    def look(signer="DKMS module signing key", state=ON, enrolled="", keyrings=""):
        patient.module(NEWER, signer=signer)
        patient.say("secure_boot", state)
        patient.say("enrolled", enrolled)
        patient.write("/proc/keys", keyrings)
        return patient.findings()["secure boot"]

    return look


def test_a_signer_that_nobody_enrolled(signature, patient):
    found = signature(enrolled="Subject: CN=DKMS module signing key of another host\n")
    assert found["verdict"] == "fail" and "not enrolled" in found["seen"]
    assert "mokutil --import /var/lib/dkms/mok.pub" in found["fix"] and "nvidia_driver_source" in found["fix"]
    patient.write("/var/lib/shim-signed/mok/MOK.der")
    assert "mokutil --import /var/lib/shim-signed/mok/MOK.der" in signature()["fix"]


@pytest.mark.parametrize(
    "host",
    [
        {"signer": "Canonical Ltd. Kernel Module Signing"},
        {"enrolled": "        Subject: CN=DKMS module signing key\n"},
        {"keyrings": "1 I------ 1 perm 1f030000 0 0 asymmetri DKMS module signing key: 88f7: X509.rsa []\n"},
        {"state": ON + "SecureBoot validation is disabled in shim\n"},
    ],
    ids=lambda host: next(iter(host)),
)
def test_what_the_kernel_would_take(signature, host):
    assert signature(**host)["verdict"] == "pass"
