"""What a driver's installation would stumble over: told or refused before anything is changed."""

import pytest
from ansible.module_utils.boot import next_kernel, secure_boot
from ansible.module_utils.preflight import boot as preflight_boot
from ansible.module_utils.preflight import host as preflight_host

RUN = {"kind": "run", "what": "a .run driver", "fix": "Remove it."}
SOURCE = {"kind": "source", "what": "an old list", "fix": "Remove it."}
PACKAGES = {"kind": "packages", "what": "Debian's driver", "fix": "Remove it."}


def verdicts(found):
    return {one["check"]: one["verdict"] for one in found}


@pytest.mark.parametrize(
    ("there", "allowed", "run", "sources"),
    [
        ([], False, "pass", "pass"),
        ([RUN], False, "fail", "pass"),
        ([SOURCE, PACKAGES], False, "pass", "fail"),
        ([RUN, SOURCE], True, "skip", "skip"),
    ],
)
def test_leftovers(there, allowed, run, sources):
    found = preflight_boot.leftovers("nvidia", [], allowed, lambda source, addresses: there)
    assert verdicts(found) == {"earlier .run driver": run, "driver sources": sources}
    assert all(one["fix"] for one in found if one["verdict"] == "fail")
    assert preflight_boot.seen_leftover(found) is bool(there)
    assert preflight_boot.seen_leftover([]) is None


@pytest.mark.parametrize(
    ("on", "enrolled", "signer", "verdict"),
    [
        (False, False, "", "pass"),
        (True, False, "", "fail"),
        (True, True, "", "pass"),
        (True, False, "Canonical Ltd. Kernel Module Signing", "pass"),
    ],
)
def test_secure_boot(monkeypatch, on, enrolled, signer, verdict):
    monkeypatch.setattr(secure_boot, "enabled", lambda: on)
    monkeypatch.setattr(secure_boot, "dkms_key", lambda: "/var/lib/dkms/mok.pub")
    monkeypatch.setattr(secure_boot, "enrolled", lambda key: enrolled)
    monkeypatch.setattr(next_kernel, "module_signer", lambda kernel: signer)
    (found,) = preflight_host.secure_boot()
    assert found["verdict"] == verdict
    if verdict == "fail":
        for way in ("mokutil --import /var/lib/dkms/mok.pub", "nvidia_driver_source: distribution"):
            assert way in found["fix"]
        monkeypatch.setattr(secure_boot, "dkms_key", lambda: "")
        assert "dkms generate_mok" in preflight_host.secure_boot()[0]["fix"]


@pytest.mark.parametrize(("headers", "verdict"), [(True, "pass"), (False, "skip")])
def test_next_kernel(monkeypatch, headers, verdict):
    assert verdicts(preflight_boot.next_boot())["next kernel"] == "pass"
    monkeypatch.setattr(next_kernel, "booting", lambda: "6.99-amd64")
    monkeypatch.setattr(next_kernel, "has_headers", lambda kernel: headers)
    (found,) = preflight_boot.next_boot()
    assert found["verdict"] == verdict and "6.99-amd64 boots next" in found["seen"]


def test_vanished_headers_are_no_obstacle_where_a_reboot_is_allowed():
    def found():
        return [{"check": "kernel headers", "verdict": "fail", "seen": "none"}, {"check": "root", "verdict": "fail"}]

    assert verdicts(preflight_boot.without_headers(found(), False)) == {"kernel headers": "fail", "root": "fail"}
    assert verdicts(preflight_boot.without_headers(found(), True)) == {"kernel headers": "skip", "root": "fail"}
