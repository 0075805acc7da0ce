"""Packages, as dpkg's own file has them."""

import pytest

NGINX = """Package: nginx
Status: install ok installed
Priority: optional
Architecture: amd64
Version: 1.26.3-3
Description: web server
 Status: a description may say anything
 Version: 9
"""
LIBC = """Package: nginx-common
Status: install ok installed
Version: 7
"""
OLD = """Package: nginx
Status: deinstall ok config-files
Architecture: i386
Version: 0.1
"""


@pytest.fixture
def status(host):
    """status(*entries): dpkg knows these packages."""

    def write(*entries):
        (host.root / "status").write_text("\n".join(entries))

    write(NGINX, LIBC)
    host.record(packages=["nginx"])
    assert host.drift() == []
    return write


def test_another_version(host, status):
    status(LIBC, NGINX.replace("1.26.3-3", "1.28"))
    assert host.drift() == ["package nginx: version 1.28 instead of 1.26.3-3"]


def test_a_hold_that_the_role_means(host, status):
    status(NGINX.replace("install ok", "hold ok"))
    host.record(packages=["nginx"], held=["nginx"])
    assert host.drift() == []
    status(NGINX)
    assert host.drift() == ["package nginx: is no longer held"]


def test_a_hold_of_somebody_s_own_is_no_drift_and_not_recorded(host, status):
    status(NGINX.replace("install ok", "hold ok"))
    assert host.drift() == []
    host.record(packages=["nginx"])
    status(NGINX)
    assert host.drift() == []


def test_removed(host, status):
    status(LIBC)
    assert host.drift() == ["package nginx: is not installed"]
    status(NGINX.replace("install ok installed", "deinstall ok config-files"))
    assert host.drift() == ["package nginx: is not installed"]


def test_half_configured(host, status):
    status(NGINX.replace("ok installed", "ok half-configured"))
    assert host.drift() == ["package nginx: is half-configured"]


@pytest.mark.parametrize("entries", [(OLD, NGINX), (NGINX, OLD)])
def test_of_two_architectures_the_installed_one_counts(host, status, entries):
    status(*entries)
    assert host.drift() == []


def test_one_that_was_not_there_is_never_right(host, status):
    host.record(packages=["later"])
    assert host.drift() == ["package later: is not installed"]
    status(NGINX.replace("Package: nginx", "Package: later"))
    assert host.drift() == ["package later: was not installed when the role ended"]


def test_an_interrupted_dpkg(host, status):
    (host.root / "updates" / "0001").write_text("")
    assert host.drift() == ["packages: dpkg is at work, or was interrupted"]


def test_no_file_of_dpkg(host, status):
    (host.root / "status").unlink()
    assert host.drift()[0].startswith("packages: cannot be compared: FileNotFoundError")
