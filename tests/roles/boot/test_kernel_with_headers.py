"""Headers of the running kernel that have vanished from the archive: a newer kernel comes, and says to be booted."""

import kernel_with_headers
import pytest
from ansible.module_utils.packages import families

RUNNING = kernel_with_headers.platform.release()


@pytest.fixture
def host(monkeypatch, program, tmp_path):
    """A host with a kernel of before, and an apt that brings a new one, unless it fails."""
    state = {"headers": set(), "coming": RUNNING, "rc": 0, "log": [], "offered": False}

    def run(argv, timeout=0, env=None):
        state["log"].append(" ".join(word for word in argv if not word.startswith(("-", "DPkg"))))
        if "install" in argv and not state["rc"]:
            state.update(coming="6.99-amd64", headers={"6.99-amd64"})
        return state["rc"], "", "E: no network" if state["rc"] else ""

    metas = ["linux-headers-" + RUNNING, "linux-headers-amd64"]
    monkeypatch.setattr(kernel_with_headers, "run", run)
    monkeypatch.setattr(kernel_with_headers, "headers", lambda known: metas)
    monkeypatch.setattr(kernel_with_headers, "apt_knows", lambda package: (state["offered"], ""))
    monkeypatch.setattr(families, "here", lambda: families.FAMILIES["apt"])
    monkeypatch.setattr(kernel_with_headers.next_kernel, "has_headers", lambda kernel: kernel in state["headers"])
    monkeypatch.setattr(kernel_with_headers.next_kernel, "booting", lambda: state["coming"])
    monkeypatch.setattr(kernel_with_headers.next_kernel, "installed", list)
    monkeypatch.setattr(kernel_with_headers.dpkg, "packages", dict)
    state["metas"] = metas
    return state


@pytest.mark.parametrize("change", [{"headers": {RUNNING}}, {"offered": True}])
def test_nothing_happens_where_headers_are_there_or_can_be_had(host, call, change):
    host.update(change)
    result = call("kernel_with_headers")
    assert not result["changed"] and result["reboot_needed"] == "" and host["log"] == []


def test_the_newest_kernel_comes_with_its_headers(host, call):
    assert call("kernel_with_headers", check=True)["reboot_needed"] and host["log"] == []
    assert RUNNING in call("kernel_with_headers")["reboot_needed"]
    assert host["log"] == ["apt-get update", "apt-get install linux-image-amd64 linux-headers-amd64"]


def test_a_run_that_was_cut_off_before_the_reboot_goes_on(host, call):
    host.update(coming="6.99-amd64", headers={"6.99-amd64"})
    assert call("kernel_with_headers")["reboot_needed"] and host["log"] == []


def test_what_cannot_be_had_is_said(host, call):
    host["rc"] = 100
    result = call("kernel_with_headers")
    assert result["failed"] and "no network" in result["msg"]
    host["metas"].pop()
    result = call("kernel_with_headers")
    assert (
        result["failed"] and "no package brings newer kernels" in result["msg"] and "linux-image-amd64" in result["fix"]
    )


@pytest.fixture
def el(host, monkeypatch):
    """The same with dnf, which knows the headers of these kernels."""
    host["known"] = set()
    apt = kernel_with_headers.run

    def run(argv, timeout=0, env=None):
        if "list" in argv:
            return (0 if argv[-1].removeprefix("kernel-devel-") in host["known"] else 1), "", ""
        return apt(argv, timeout, env)

    monkeypatch.setattr(kernel_with_headers, "run", run)
    monkeypatch.setattr(families, "here", lambda: families.FAMILIES["dnf"])
    monkeypatch.setattr(kernel_with_headers, "apt_knows", lambda package: pytest.fail("there is no apt"))
    return host


def test_the_newest_kernel_comes_with_its_headers_by_dnf(el, call):
    assert call("kernel_with_headers")["reboot_needed"]
    assert el["log"] == ["dnf install kernel kernel-devel kernel-headers"]


def test_nothing_happens_where_dnf_has_the_headers(el, call):
    el["known"] = {RUNNING}
    assert not call("kernel_with_headers")["changed"] and el["log"] == []


@pytest.mark.parametrize(
    ("comes", "words"),
    [
        ({"coming": RUNNING, "headers": set()}, f"kernel {RUNNING} boots next"),
        ({"coming": RUNNING, "headers": {RUNNING}}, f"kernel {RUNNING} boots next"),
        ({"coming": "6.99", "headers": set()}, "kernel 6.99 boots next"),
    ],
)
def test_a_kernel_that_does_not_help_is_an_error(host, call, monkeypatch, comes, words):
    def run(argv, timeout=0, env=None):
        host.update(comes if "install" in argv else {})
        return 0, "", ""

    monkeypatch.setattr(kernel_with_headers, "run", run)
    result = call("kernel_with_headers")
    assert result["failed"] and "No kernel with headers could be installed" in result["msg"] and words in result["msg"]


def test_headers_of_a_kernel_that_is_installed_already_bring_nothing_newer(host, call, monkeypatch):
    host["metas"][1:] = ["linux-headers-6.98-amd64"]
    monkeypatch.setattr(kernel_with_headers.next_kernel, "installed", lambda: ["6.98-amd64"])
    assert "no package brings newer kernels" in call("kernel_with_headers")["msg"]
