"""What apt says when it fails becomes a line and an advice."""

import pytest
from ansible.module_utils.packages.apt import advice as apt_advice


@pytest.mark.parametrize(
    ("reported", "hint"),
    [
        ("E: Conflicting values set for option Signed-By regarding source https://x", "sources.list.d"),
        ("E: Unable to correct problems, you have held broken packages.", "unhold"),
        ("E: The repository 'https://x' is not signed.", "_repository_key"),
        ("dpkg: error: No space left on device", "Free space"),
        ("Error! Bad return status for module build on kernel: 6.12", "make.log"),
        (" nvidia-alternative : Depends: glx-alternative-nvidia but it is not installable", "contrib"),
        ("E: Unable to locate package linux-modules-nvidia-580-server-open-generic", "restricted and multiverse"),
        ("E: Unable to locate package podman5", "Correct the package"),
        ("something new", "By hand"),
    ],
)
def test_advice(reported, hint):
    assert hint in apt_advice.advice(reported)


def test_apt_that_was_killed():
    assert apt_advice.errors(-9, "Unpacking podman", "") == "it was killed (signal 9)"


def test_a_branch_that_is_not_there_names_those_that_are(monkeypatch):
    names = "nvidia-driver-pinning-580\nnvidia-driver-pinning-595\nnvidia-driver-pinning-extra\n"
    monkeypatch.setattr(apt_advice, "run", lambda argv, **options: (0, names, ""))
    reported = apt_advice.offered("E: Unable to locate package nvidia-driver-pinning-999")
    assert reported == " The repositories offer: nvidia-driver-pinning-580, nvidia-driver-pinning-595."
    assert apt_advice.offered("E: something else") == ""
