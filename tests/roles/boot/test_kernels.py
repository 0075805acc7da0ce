"""Headers of the kernels that run and that come."""

import pytest
from ansible.module_utils.boot import kernel


def test_headers_for_running_and_coming_kernels(monkeypatch):
    installed = ["linux-image-amd64", "linux-image-6.12.48+deb13-amd64", "linux-image-cloud-amd64", "sed"]
    known = {name: {"version": "1", "held": False, "status": "installed"} for name in installed}
    monkeypatch.setattr(kernel.next_kernel, "has_headers", lambda release: False)
    monkeypatch.setattr(kernel.next_kernel, "booting", lambda: "6.12.57+deb13-amd64")
    assert kernel.headers(known, "6.12.48+deb13-amd64") == [
        "linux-headers-6.12.48+deb13-amd64", "linux-headers-6.12.57+deb13-amd64", "linux-headers-amd64",
        "linux-headers-cloud-amd64",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("installed", "flavours"),
    [
        (["linux-image-amd64", "linux-image-6.1.0-40-amd64", "linux-image-amd64-dbg"], ["amd64"]),
        (["linux-image-cloud-amd64", "linux-image-rt-amd64"], ["cloud-amd64", "rt-amd64"]),
        (["linux-image-generic-hwe-24.04", "linux-image-6.17.0-8-generic"], ["generic-hwe-24.04"]),
        (["linux-image-aws-6.8", "linux-image-unsigned-6.8.0-1015-aws", "linux-image-extra-virtual"], ["aws-6.8"]),
    ],
)
def test_flavours_of_the_kernels_to_come(installed, flavours):
    known = {name: {"version": "1", "held": False, "status": "installed"} for name in installed}
    assert kernel.flavours(known) == flavours
    assert kernel.modules("", known, "6.8.0-45-generic") == []


@pytest.mark.parametrize(
    ("release", "desired"),
    [
        ("4.18.0-553.el8_10.x86_64", ["kernel-devel=4.18.0-553.el8_10", "kernel-headers"]),
        ("5.14.0-503.11.1.el9_5.x86_64", ["kernel-devel-matched=5.14.0-503.11.1.el9_5", "kernel-headers"]),
        ("6.12.0-55.9.1.el10_0.x86_64", ["kernel-devel-matched=6.12.0-55.9.1.el10_0", "kernel-headers"]),
        ("5.15.0-300.163.18.el9uek.x86_64", ["kernel-uek-devel=5.15.0-300.163.18.el9uek"]),
    ],
)
def test_headers_of_rpm_s_kernels(tmp_path, release, desired):
    assert kernel.rpm_headers(release, str(tmp_path)) == desired
    (tmp_path / release / "build").mkdir(parents=True)
    assert kernel.rpm_headers(release, str(tmp_path)) == []
