"""The NVIDIA driver: loaded, the one installed, the one its tools speak to, and kept from upgrades."""

import pytest
from testinfra.host import Host

from dgctl.verify.ask import Answer, ask

GROUPS = ("engine",)
RELOAD = "stop the Engine and reload the module (`dgctl provision` does it), or reboot the server"
CHANGE = "dgctl provision; or change nvidia_driver_branch / nvidia_driver_version in the inventory"

# apt and dnf each have a way to keep packages where they are.
INSTALLED = """
if command -v dpkg-query >/dev/null
then dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' | sed -n '/nvidia\\|cuda-drivers/s/^[hi]i *//p'
else rpm -qa --qf '%{NAME}\\n' | grep -E 'nvidia|cuda-drivers'
fi"""
HELD = """
if command -v apt-mark >/dev/null; then apt-mark showhold
else cat /etc/dnf/plugins/versionlock.list /etc/yum/pluginconf.d/versionlock.list 2>/dev/null || true
fi"""


def test_loaded(driver, expect):
    loaded = driver["loaded"]
    expect(loaded, "loaded", "modprobe nvidia; journalctl -k | grep -i nvidia", ok=bool(loaded.text))


def test_loaded_is_installed(driver, expect):
    loaded, installed = driver["loaded"], driver["installed"]
    expect(loaded, str(installed), RELOAD, ok=bool(loaded.text) and loaded.text == installed.text)


def test_tools_match(driver, expect):
    """nvidia-smi's library speaks to the loaded module; each GPU gives one line."""
    loaded, tools = driver["loaded"], driver["smi"]
    expect(set(tools.lines) or tools, loaded, RELOAD, ok=bool(loaded.text) and set(tools.lines) == {loaded.text})


def test_version(driver, desired, expect):
    exact, branch, loaded = desired["nvidia_driver_version"], desired["nvidia_driver_branch"], driver["loaded"]
    # An exact version may carry a package's revision: 580.173.02-1 is version 580.173.02.
    expected = str(exact).partition("-")[0] if exact else str(branch)
    seen = loaded.text if exact else loaded.text.partition(".")[0]
    expect(loaded, exact or f"branch {branch}", CHANGE, ok=seen == expected)


def test_nouveau_absent(driver, expect):
    expect(driver["nouveau"].lines, [], "modprobe -r nouveau; cat /etc/modprobe.d/*nouveau*; then reboot")


def test_persistent(driver, desired, expect):
    if not desired["nvidia_driver_persistence"]:
        pytest.skip("nvidia_driver_persistence is off")
    modes = driver["persistence"]
    fix = "systemctl status nvidia-persistenced"
    expect(set(modes.lines) or modes, "Enabled on every GPU", fix, ok=set(modes.lines) == {"Enabled"})


@pytest.fixture(scope="module")
def packages(host: Host) -> dict[str, Answer]:
    return ask(host, {"installed": INSTALLED, "held": HELD})


def test_held(packages, desired, expect):
    """The package that makes the module is held: an upgrade would change it under the running Engine."""
    if not desired["nvidia_driver_hold"]:
        pytest.skip("nvidia_driver_hold is off")
    drivers = {name for name in packages["installed"].lines if _makes_the_module(name)}
    loose = {name for name in drivers if not any(name in held for held in packages["held"].lines)}
    seen = f"not held: {', '.join(sorted(loose))}" if loose else drivers or "no driver package installed"
    names = " ".join(sorted(loose or {"nvidia-open"}))
    fix = f"dgctl provision; by hand apt-mark hold {names}, or dnf versionlock add {names}"
    expect(seen, "every driver package held", fix, ok=bool(drivers) and not loose)


def _makes_the_module(package: str) -> bool:
    return package in ("nvidia-open", "cuda-drivers", "nvidia-driver") or package.startswith(
        ("nvidia-kernel-", "kmod-nvidia-")
    )
