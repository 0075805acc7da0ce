"""The guarded dnf transaction, on an rpm that tells what the test wants and a dnf that loads the real guard."""

import ast
import fcntl
import json
import multiprocessing
import pathlib
import sqlite3
import sys
from types import SimpleNamespace

import pytest
from ansible.module_utils.packages.dnf import command as dnf_command
from ansible.module_utils.packages.dnf import guard as dnf_guard
from ansible.module_utils.packages.rpm import database as rpm_database
from ansible.module_utils.packages.rpm import query as rpm_query

# A dnf that knows one transaction: it loads its plugins, asks them, and does it.
DNF = r"""
import importlib.util, json, shutil, sys, types
from pathlib import Path

HERE = Path(@HERE@)
dnf = sys.modules["dnf"] = types.ModuleType("dnf")
dnf.exceptions = types.SimpleNamespace(Error=type("Error", (Exception,), {}))
dnf.Plugin = type("Plugin", (), {"__init__": lambda self, base, cli: None})
words, plan = sys.argv[1:], json.loads((HERE / "plan").read_text())
options = dict(word[9:].split("=", 1) for word in words if word.startswith("--setopt="))
asked = [word for word in words if not word.startswith("--setopt=") and word != "-y"]


class Query(list):
    def available(self):
        return self

    def filter(self, name=None, version=()):
        return Query(p for p in self if p.name == name or p.version in version)


def end(error="", status=1):
    print(error, file=sys.stderr)
    sys.exit(status)


with (HERE / "log").open("a") as log:
    log.write(" ".join(asked) + "\n")
if (HERE / "locked").exists():
    end("metadata already locked by 42", 200)
if "clean" in asked or "module" in asked:
    sys.exit(0)
if plan["error"]:
    end("Error: " + plan["error"])
if "repoquery" in asked:
    print(*[f"{n} {v}" for n, v in plan["offers"]], sep="\n")
    sys.exit(0)
offers = Query(types.SimpleNamespace(name=n, version=v, release="1.el9") for n, v in plan["offers"])
excluded, enabled = [], []
sack = types.SimpleNamespace(query=lambda: offers, add_excludes=excluded.extend)
repository = types.SimpleNamespace(enable=lambda: enabled.append(1))
repositories = types.SimpleNamespace(get_matching=lambda name: [repository])
coming = [types.SimpleNamespace(name=n) for n in plan["install"]]
going = [types.SimpleNamespace(name=n) for n in plan["remove"]]
erased = []
base = types.SimpleNamespace(sack=sack, repos=repositories, conf=None, remove=erased.append)
base.transaction = types.SimpleNamespace(install_set=coming, remove_set=going)
if "pluginpath" in options:
    path = options["pluginpath"].split(",")[-1] + "/deployment_guard.py"
    specification = importlib.util.spec_from_file_location("guard", path)
    guard = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(guard)
    plugin = guard.Guard(base, None)
    plugin.config()
    plugin.sack()
    names = sorted(f"{p.name}-{p.version}" for p in excluded)
    (HERE / "seen").write_text(json.dumps({"excluded": names, "enabled": len(enabled), "erased": erased}))
    try:
        plugin.resolved()
    except dnf.exceptions.Error as error:
        end(f"Error: {error}")
if "--assumeno" in asked:
    end("Operation aborted.")
shutil.copy(HERE / "after", HERE / "state")
"""


def rows(packages):
    return "".join(f"{name}\t{version}\tx86_64\n" for name, version in packages)


@pytest.fixture
def dnf(program, tmp_path, monkeypatch):
    """dnf(installed, after, ...): sets the host's state; dnf.log() is what dnf was asked to do."""
    program("rpm", f"cat {tmp_path}/state\n")
    program("dnf", f'exec {sys.executable} {tmp_path}/dnf.py "$@"\n')
    (tmp_path / "dnf.py").write_text(DNF.replace("@HERE@", repr(str(tmp_path))))
    (tmp_path / "versionlock.conf").touch()
    monkeypatch.setattr(rpm_query, "LOCKLIST", str(tmp_path / "versionlock.list"))
    monkeypatch.setattr(rpm_query, "HISTORY", str(tmp_path / "history.sqlite"))
    monkeypatch.setattr(dnf_command, "MODULES", str(tmp_path))
    monkeypatch.setattr(rpm_database.at_work, "__defaults__", ((str(tmp_path / "rpm.lock"),),))

    def set_up(installed, after=None, install=(), remove=(), offers=(), error=""):
        (tmp_path / "state").write_text(rows(installed.items()))
        (tmp_path / "after").write_text(rows((installed | (after or {})).items()))
        plan = {
            "install": list(install or (after or {})),
            "remove": list(remove),
            "offers": list(offers),
            "error": error,
        }
        (tmp_path / "plan").write_text(json.dumps(plan))
        (tmp_path / "log").write_text("")

    set_up.log = lambda: (tmp_path / "log").read_text().splitlines()
    set_up.seen = lambda: json.loads((tmp_path / "seen").read_text())
    set_up.locks = lambda: (tmp_path / "versionlock.list").read_text().splitlines()
    set_up.path = tmp_path
    return set_up


def test_what_is_there_costs_nothing(dnf, call):
    dnf({"podman": "4:5.4.0-1.el9"})
    result = call("dnf_packages", packages=["podman"])
    assert not result["changed"] and dnf.log() == [] and result["installed"] == {"podman": "4:5.4.0-1.el9"}


@pytest.mark.parametrize("requested", ["a=3:580.1-1.el9", "a=580.1-1.el9", "a=580.*", "a=580.1-*"])
def test_a_version_may_be_given_with_and_without_epoch_and_release(dnf, call, requested):
    dnf({"a": "3:580.1-1.el9"})
    assert not call("dnf_packages", packages=[requested])["changed"]


def test_missing_package_is_installed_and_its_family_locked_at_what_is_there(dnf, call):
    dnf({"sed": "0:4.8-9.el9"}, {"nvidia-open": "3:580.173.02-1.el9", "libnvidia-ml": "3:580.173.02-1.el9"})
    (dnf.path / "versionlock.list").write_text("# a person's\nkernel-0:5.14.0-1.el9.*\nnvidia-open-3:570.1-1.el9.*\n")
    arguments = {"packages": ["nvidia-open=580.*"], "same_version_as": "nvidia-open", "hold": True}
    result = call("dnf_packages", **arguments)
    assert result["changed"] and result["held"] == ["libnvidia-ml", "nvidia-open"]
    assert dnf.log() == ["--disableplugin=versionlock install nvidia-open-580.*"]
    assert dnf.locks() == [
        "# a person's", "kernel-0:5.14.0-1.el9.*",
        "libnvidia-ml-3:580.173.02-1.el9.*", "nvidia-open-3:580.173.02-1.el9.*",
    ]  # fmt: skip
    assert not call("dnf_packages", **arguments)["changed"]
    assert call("dnf_packages", **arguments | {"hold": False})["changed"]
    assert dnf.locks() == ["# a person's", "kernel-0:5.14.0-1.el9.*"]


def test_nothing_of_the_family_comes_at_another_version_than_the_lead(dnf, call):
    versions = ["580.95.05", "580.173.02", "595.91.07"]
    offers = [(name, version) for name in ("nvidia-open", "libnvidia-ml") for version in versions]
    dnf({}, {"nvidia-open": "3:580.173.02-1.el9"}, offers=[*offers, ("nginx", "1.20.1")])
    requested = {"packages": ["nvidia-open=580.*"], "same_version_as": "nvidia-open", "enable_repositories": ["crb"]}
    assert call("dnf_packages", **requested)["changed"]
    assert dnf.seen() == {"excluded": ["libnvidia-ml-595.91.07", "nvidia-open-595.91.07"], "enabled": 1, "erased": []}


def test_family_moves_with_its_lead_past_its_own_locks_but_not_past_others(dnf, call):
    old, new = "3:580.173.02-1.el9", "3:580.95.05-1.el9"
    dnf({"nvidia-open": old, "libnvidia-ml": old}, {"nvidia-open": new, "libnvidia-ml": new}, remove=["nvidia-open"])
    (dnf.path / "versionlock.list").write_text(f"nvidia-open-{old}.*\nlibnvidia-ml-{old}.*\nkernel-0:5-1.*\n")
    requested = {"packages": ["nvidia-open=580.95.05-*"], "same_version_as": "nvidia-open"}
    assert call("dnf_packages", **requested)["changed"]
    expected = "--disableplugin=versionlock install nvidia-open-580.95.05-* libnvidia-ml-580.95.05-*"
    assert dnf.log() == [expected]
    dnf({"nvidia-open": old}, {"nvidia-open": new}, install=["nvidia-open", "kernel"])
    refused = call("dnf_packages", **requested)
    assert "kernel, which must stay" in refused["msg"] and "versionlock" in refused["fix"]


def test_the_guard_runs_on_the_python_of_enterprise_linux_8():
    ast.parse(pathlib.Path(dnf_guard.__file__).read_text(), feature_version=(3, 6))


def test_a_guard_that_did_not_come_to_its_work_ends_the_transaction(dnf, call, monkeypatch):
    dnf({}, {"nvidia-open": "3:580.1-1.el9"})
    source = pathlib.Path(dnf_guard.__file__).read_text().replace("self.ready = True", "pass")
    monkeypatch.setattr(dnf_guard, "__loader__", SimpleNamespace(get_source=lambda name: source))
    refused = call("dnf_packages", packages=["nvidia-open"])
    assert "did not come to its work" in refused["msg"] and (dnf.path / "state").read_text() == ""


def test_dnf_without_the_guard_is_an_error(dnf, call, monkeypatch):
    dnf({}, {"a": "1-1"})
    monkeypatch.setattr(dnf_command, "_read", lambda path: None)
    assert "did not load the guard" in call("dnf_packages", packages=["a"])["msg"]


def test_a_kernel_stays_as_it_is(dnf, call):
    dnf({}, {"nvidia-open": "3:580.1-1.el9"}, install=["kernel-core", "nvidia-open"])
    requested = {"packages": ["nvidia-open"], "must_not_touch": ["kernel", "kernel-core", "kernel-modules*"]}
    for check in (True, False):
        refused = call("dnf_packages", check=check, **requested)
        assert refused["failed"] and "kernel-core, which must stay as it is" in refused["msg"]
    assert (dnf.path / "state").read_text() == ""


def test_what_would_be_removed_must_be_allowed(dnf, call):
    dnf({"runc": "1-1"}, {"containerd.io": "1.7-1"}, remove=["runc"])
    refused = call("dnf_packages", packages=["containerd.io"])
    assert "would remove runc" in refused["msg"] and "Remove runc yourself" in refused["fix"]
    assert call("dnf_packages", packages=["containerd.io"], may_remove=["runc"])["changed"]
    assert dnf.log()[-1] == "--allowerasing install containerd.io"


def test_what_is_replaced_goes_in_the_same_transaction(dnf, call):
    dnf({"podman-docker": "1-1", "podman": "5-1"}, {"docker-ce-cli": "1:28-1"}, remove=["podman-docker"])
    assert call("dnf_packages", packages=["docker-ce-cli"], replaces=["podman-docker", "docker-*"])["changed"]
    assert dnf.log() == ["--allowerasing install docker-ce-cli"] and dnf.seen()["erased"] == ["podman-docker"]


def test_check_mode_says_what_would_come_and_does_nothing(dnf, call):
    dnf({}, {"a": "1-1", "b": "1-1"})
    result = call("dnf_packages", check=True, packages=["a"], hold=True)
    assert result["changed"] and result["transaction"] == ["Inst a", "Inst b"]
    assert (dnf.path / "state").read_text() == "" and dnf.log() == ["--assumeno install a"]
    dnf({}, error="Unable to find a match: a")  # its repository is not there yet
    assert call("dnf_packages", check=True, packages=["a"])["transaction"] == ["Inst a"]


def test_what_no_repository_has_is_asked_for_again_with_fresh_metadata(dnf, call):
    dnf({}, error="Unable to find a match: a")
    refused = call("dnf_packages", packages=["a"])
    assert dnf.log() == ["install a", "clean expire-cache", "install a"]
    assert "Unable to find a match: a" in refused["msg"] and "--showduplicates" in refused["fix"]


def test_along_comes_in_the_same_transaction_or_not_at_all(dnf, call):
    dnf({}, {"a": "1-1", "b": "2-1"})
    result = call("dnf_packages", packages=["a"], along=["b=2-1"])
    assert dnf.log() == ["install a b-2-1"] and result["along"] == {"b=2-1": "2-1"} and result["added"] == ["a", "b"]


def test_what_came_along_at_a_version_is_locked_with_the_rest(dnf, call):
    dnf({}, {"a": "1-1", "b": "2-1", "c": "3-1"})
    result = call("dnf_packages", packages=["a"], along=["b=2-1", "c"], hold=True)
    assert result["along_held"] == ["b"] and result["held"] == ["a"]
    assert [line.partition("-")[0] for line in sorted(dnf.locks())] == ["a", "b"]


def test_streams_are_enabled_in_the_place_of_others(dnf, call):
    dnf({"a": "1-1"})
    requested = {"packages": ["a"], "first": ["@nvidia-driver:580-open"], "along": ["@nginx:1.24"]}
    assert call("dnf_packages", **requested)["transaction"] == ["Enable nvidia-driver:580-open", "Enable nginx:1.24"]
    assert dnf.log() == ["module enable nvidia-driver:580-open", "module enable nginx:1.24"]
    (dnf.path / "nginx.module").write_text("[nginx]\nname=nginx\nstream=1.24\nstate=enabled\n")
    (dnf.path / "nvidia-driver.module").write_text("[nvidia-driver]\nstream=595-open\nstate=enabled\n")
    dnf({"a": "1-1"})
    result = call("dnf_packages", **requested)
    assert dnf.log() == ["module reset nvidia-driver", "module enable nvidia-driver:580-open"]
    assert result["along"] == {"@nginx:1.24": "nginx:1.24"}


def history(path, ended):
    """dnf's record of one transaction, of the package a."""
    connection = sqlite3.connect(path / "history.sqlite")
    connection.executescript("""
        DROP TABLE IF EXISTS trans; DROP TABLE IF EXISTS trans_item; DROP TABLE IF EXISTS rpm;
        CREATE TABLE trans (id INTEGER, dt_end INTEGER); CREATE TABLE trans_item (trans_id INTEGER, item_id INTEGER);
        CREATE TABLE rpm (item_id INTEGER, name TEXT, epoch INTEGER, version TEXT, release TEXT);
        INSERT INTO trans_item VALUES (1, 1); INSERT INTO rpm VALUES (1, 'a', 0, '1', '1');
    """)
    connection.execute("INSERT INTO trans VALUES (1, ?)", (ended,))
    connection.commit()
    connection.close()


def test_an_interrupted_dnf_is_finished(dnf, call):
    dnf({"a": "1-1", "b": "2-1"})
    history(dnf.path, 1700000000)
    assert not call("dnf_packages", packages=["b"])["changed"]
    history(dnf.path, 0)
    assert call("dnf_packages", check=True, packages=["b"])["changed"] and dnf.log() == []
    assert call("dnf_packages", packages=["b"])["changed"] and dnf.log() == ["reinstall a"]


def test_of_two_versions_that_an_interrupted_dnf_left_one_goes_and_kernels_stay(dnf, call):
    dnf({"a": "1-1"})
    (dnf.path / "state").write_text(rows([("a", "1-1"), ("a", "2-1"), ("kernel-core", "1-1"), ("kernel-core", "2-1")]))
    assert call("dnf_packages", packages=["a"])["changed"] and dnf.log() == ["remove --duplicates"]


def test_another_dnf_is_waited_for_and_then_named(dnf, call):
    dnf({}, {"a": "1-1"})
    (dnf.path / "locked").touch()
    refused = call("dnf_packages", packages=["a"], lock_timeout_s=0)
    assert "already locked by 42" in refused["msg"] and "wait for it" in refused["fix"]


def hold_lock(path, ready, done):
    with open(path, "w+b") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        ready.set()
        done.wait(30)


def test_rpm_at_work_is_waited_for_too(dnf, call):
    dnf({}, {"a": "1-1"})
    ready, done = multiprocessing.Event(), multiprocessing.Event()
    other = multiprocessing.Process(target=hold_lock, args=(dnf.path / "rpm.lock", ready, done))
    other.start()
    assert ready.wait(30)
    refused = call("dnf_packages", packages=["a"], lock_timeout_s=0)
    done.set()
    other.join()
    assert "rpm's lock" in refused["msg"] and dnf.log() == []
    assert call("dnf_packages", packages=["a"], lock_timeout_s=0)["changed"]


@pytest.mark.parametrize(
    ("reported", "fix"),
    [
        ("No match for argument: kernel-devel-matched-5.14.0-1.el9", "reboot into the new kernel"),
        ("All matches were filtered out by modular filtering for argument: nvidia-open", "dnf module list"),
        ("nothing provides dkms needed by kmod-nvidia-open-dkms", "EPEL"),
        ("Error: GPG check FAILED", "_repository_key"),
        ("Curl error (6): Could not resolve host", "dnf makecache"),
        ("Error! Bad return status for module build on kernel", "make.log"),
        ("something new", "Run again"),
    ],
)
def test_advice(reported, fix):
    assert fix in dnf_command.advice(reported)


# A package that left the driver's version.

OLD, NEW = "3:580.95.05-1.el9", "3:595.91.07-1.el9"
FAMILY = ("kmod-nvidia-open-dkms", "libnvidia-ml", "nvidia-modprobe", "nvidia-open")
DRIVER = {"packages": ["nvidia-open=580.*"], "same_version_as": "nvidia-open", "hold": True}
OFFERS = [(name, version) for name in FAMILY for version in ("580.95.05", "595.91.07")]


def test_a_family_that_is_together_costs_no_question(dnf, call):
    dnf(dict.fromkeys(FAMILY, OLD))
    (dnf.path / "versionlock.list").write_text("".join(f"{name}-{OLD}.*\n" for name in FAMILY))
    assert not call("dnf_packages", **DRIVER)["changed"] and dnf.log() == []


@pytest.mark.parametrize("name", ["nvidia-modprobe", "kmod-nvidia-open-dkms"])
@pytest.mark.parametrize("locked", [OLD, NEW], ids=["its own lock", "locked where it went"])
def test_a_package_that_moved_past_its_lock_comes_back_to_its_family(dnf, call, name, locked):
    dnf(dict.fromkeys(FAMILY, OLD) | {name: NEW, "bash": "5-1"}, {name: OLD}, offers=OFFERS)
    locks = dict.fromkeys(FAMILY, OLD) | {name: locked}
    (dnf.path / "versionlock.list").write_text("".join(f"{one}-{version}.*\n" for one, version in locks.items()))
    assert call("dnf_packages", check=True, **DRIVER)["transaction"] == [f"Inst {name}"]
    result = call("dnf_packages", **DRIVER)
    assert result["transaction"] == [f"Inst {name}"] and set(result["held"]) == set(FAMILY)
    assert dnf.log()[-1] == f"--disableplugin=versionlock install {name}-580.95.05-*"
    assert sorted(dnf.locks()) == [f"{one}-{OLD}.*" for one in FAMILY]
    assert not call("dnf_packages", **DRIVER)["changed"]


def test_what_no_repository_has_in_the_driver_s_version_stays(dnf, call):
    others = {"nvidia-settings": NEW, "libnvidia-cfg": NEW, "nvidia-container-toolkit": "1.20.1-1"}
    dnf(dict.fromkeys(FAMILY, OLD) | others, offers=OFFERS)
    assert call("dnf_packages", **DRIVER | {"hold": None})["transaction"] == []
    (asked,) = dnf.log()
    assert "repoquery --available" in asked and "nvidia-settings libnvidia-cfg" in asked


def test_a_stray_follows_a_lead_that_moves(dnf, call):
    dnf(
        dict.fromkeys(FAMILY, OLD) | {"nvidia-modprobe": "3:580.65.06-1.el9"}, dict.fromkeys(FAMILY, NEW), offers=OFFERS
    )
    state = dict.fromkeys(FAMILY, NEW) | {"nvidia-modprobe": "3:580.65.06-1.el9"}
    program = (dnf.path / "dnf.py").read_text()
    (dnf.path / "half").write_text(rows(state.items()))
    first = 'shutil.copy(HERE / ("half" if "nvidia-open-595.*" in asked else "after"), HERE / "state")'
    (dnf.path / "dnf.py").write_text(program.replace('shutil.copy(HERE / "after", HERE / "state")', first))
    result = call("dnf_packages", **DRIVER | {"packages": ["nvidia-open=595.*"]})
    assert result["transaction"] == [f"Inst {name}" for name in FAMILY]
    assert dnf.log()[-1].endswith("install nvidia-modprobe-595.91.07-*")


def test_without_a_leading_package_nothing_is_a_stray(dnf, call):
    dnf({"nvidia-modprobe": NEW, "nvidia-open": OLD}, offers=OFFERS)
    assert not call("dnf_packages", packages=["nvidia-open"])["changed"] and dnf.log() == []
