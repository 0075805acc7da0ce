"""The guarded apt transaction, on an apt and a dpkg that tell what the test wants and note what they are asked."""

import fcntl
import multiprocessing
import shlex
import subprocess

import pytest
from ansible.module_utils.boot import kernel
from ansible.module_utils.packages.apt import command as apt_command
from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.packages.apt import lists as apt_lists

KERNEL = ["linux-image-*"]


@pytest.fixture
def apt(program, tmp_path, monkeypatch):
    """apt(installed, offers, ...): sets the host's state; apt.log() is what apt and dpkg were asked to do.

    installed: {name: version}; offers: lines that apt-get -s prints; after: state once apt-get install has run.
    """
    state, log = tmp_path / "state", tmp_path / "log"
    monkeypatch.setattr(apt_lists, "age", lambda: 0)
    monkeypatch.setattr(apt_lists, "newer_sources", lambda: [])
    monkeypatch.setattr(dpkg.wait_for_lock, "__defaults__", ((str(tmp_path / "lock"),),))
    monkeypatch.setattr(dpkg.interrupted, "__defaults__", (str(tmp_path / "updates"),))

    def rows(installed, status="installed"):
        held = {name.strip("!") for name in installed if name.startswith("!")}
        return "".join(
            f"{name.strip('!')}\tamd64\t{version}\t{'hold' if name.strip('!') in held else 'install'}\t{status}\n"
            for name, version in installed.items()
        )

    def set_up(installed, offers="", after=None, rehearsal_rc=0, error="", status="installed", update_rc=0):
        state.write_text(rows(installed, status))
        (tmp_path / "after").write_text(rows(installed | (after or {})))
        log.write_text("")
        program("dpkg-query", f"cat {state}\n")
        program("apt-mark", f"echo apt-mark $* >> {log}\n")
        program("dpkg", f"echo dpkg $* >> {log}; cp {tmp_path}/after {state}\n")
        program(
            "apt-get",
            f"""case " $* " in
*" -s "*) [ {rehearsal_rc} = 0 ] || {{ echo '{error}' >&2; exit {rehearsal_rc}; }}; printf '{offers}' ;;
*" update "*) echo update >> {log}; exit {update_rc} ;;
*) [ {rehearsal_rc} = 0 ] || {{ echo '{error}' >&2; exit {rehearsal_rc}; }}
   for word; do case $word in DPkg::Pre-Install-Pkgs::=*) printf '{offers}' | sed -n 's/^Inst //p' |
       eval "${{word#*=}}" || {{ echo 'E: Failure running script /bin/sh' >&2; exit 100; }} ;; esac; done
   case " $* " in *" --no-remove "*) [ ! -e {tmp_path}/removes ] || {{ echo 'E: remove is disabled' >&2; exit 100; }} ;; esac
   echo "install ${{*#*install }}" >> {log}
   if [ -e {tmp_path}/stale ]; then rm {tmp_path}/stale; echo 'E: File has unexpected size' >&2; exit 100; fi
   cp {tmp_path}/after {state} ;;
esac
""",
        )

    set_up.log = lambda: log.read_text().splitlines()
    return set_up


def test_what_is_there_costs_nothing(apt, call):
    apt({"podman": "5.4.2-1"})
    result = call("apt_packages", packages=["podman"])
    assert not result["changed"] and apt.log() == [] and result["installed"] == {"podman": "5.4.2-1"}


def test_missing_package_is_installed_and_held(apt, call):
    apt(
        {},
        "Inst nvidia-open (580.173.02-1)\\n",
        {"nvidia-open": "580.173.02-1", "libcuda1": "580.173.02-1", "sed": "4.9-1"},
    )
    result = call("apt_packages", packages=["nvidia-open=580.*"], hold=True, same_version_as="nvidia-open")
    assert result["changed"] and result["held"] == ["libcuda1", "nvidia-open"]
    assert apt.log() == ["install nvidia-open=580.*", "apt-mark hold libcuda1 nvidia-open"]


def test_held_already(apt, call):
    apt({"!nvidia-open": "580.173.02-1", "!libcuda1": "580.173.02-1"})
    result = call("apt_packages", packages=["nvidia-open=580.*"], hold=True, same_version_as="nvidia-open")
    assert not result["changed"] and apt.log() == []


def test_hold_taken_back(apt, call):
    apt({"!nvidia-open": "580.173.02-1"})
    assert call("apt_packages", packages=["nvidia-open"], hold=False)["changed"]
    assert apt.log() == ["apt-mark unhold nvidia-open"]


def test_family_moves_with_its_lead(apt, call):
    new = {"nvidia-open": "580.95.05-1", "libcuda1": "580.95.05-1"}
    apt({"nvidia-open": "580.173.02-1", "libcuda1": "580.173.02-1"}, "Inst nvidia-open\\n", new)
    call("apt_packages", packages=["nvidia-open=580.95.05-*"], same_version_as="nvidia-open")
    assert apt.log() == ["install nvidia-open=580.95.05-* libcuda1=580.95.05-*"]


def test_package_gives_way(apt, call):
    apt({"pinning-580": "1"}, "Remv pinning-580 [1]\\nInst pinning-595 (1)\\n", {"pinning-595": "1"})
    assert call("apt_packages", packages=["pinning-595"], replaces=["pinning-*"])["changed"]
    assert apt.log() == ["install pinning-595 pinning-580-"]


def test_first_packages_come_in_a_transaction_of_their_own_and_are_held_too(apt, call):
    both = {"pinning-580": "1", "nvidia-open": "580.1-1"}
    apt({"!pinning-570": "1"}, "Inst x (1)\\n", both)
    arguments = {"first": ["pinning-580"], "first_replaces": ["pinning-*"], "packages": ["nvidia-open=580.*"]}
    result = call("apt_packages", hold=True, **arguments)
    assert apt.log()[0] == "install pinning-580 pinning-570-"
    assert set(result["held"]) == {"pinning-580", "nvidia-open"} and set(result["installed"]) == {"nvidia-open"}


def test_a_plain_installation_is_not_rehearsed_until_apt_refuses_it(apt, call, tmp_path):
    apt({"sed": "1"}, "Inst docker.io (26)\\nRemv docker-ce [5:29]\\n", {"docker.io": "26"})
    result = call("apt_packages", packages=["docker.io"])
    assert result["transaction"] == ["Inst docker.io"]
    apt({"docker-ce": "5:29"}, "Inst docker.io (26)\\nRemv docker-ce [5:29]\\n", {"docker.io": "26"})
    (tmp_path / "removes").touch()
    refused = call("apt_packages", packages=["docker.io"])
    assert refused["failed"] and "would remove docker-ce" in refused["msg"]


def test_only_a_new_repository_s_lists_are_fetched_and_a_broken_stranger_does_no_harm(apt, call, monkeypatch):
    apt({}, "", {"podman": "5"})
    monkeypatch.setattr(apt_lists, "newer_sources", lambda: ["/x/new.sources"])
    assert call("apt_packages", packages=["podman"])["changed"]
    assert apt.log() == ["update", "install podman"]
    apt({}, "", {"podman": "5"}, update_rc=100)
    assert call("apt_packages", packages=["podman"])["changed"]


def test_old_lists_that_cannot_be_fetched_stop_the_installation(apt, call, monkeypatch):
    apt({}, "", {"podman": "5"}, update_rc=100)
    monkeypatch.setattr(apt_lists, "age", lambda: 10**9)
    result = call("apt_packages", packages=["podman"])
    assert result["failed"] and "apt-get update" in result["msg"] and " Fix: " in result["msg"]
    assert apt.log() == ["update"], "nothing is installed by what lists of another year say"


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ("Inst linux-image-6.12.50-amd64 (6.12.50-1)", "must stay as it is"),
        ("Remv docker-ce [5:29]", "would remove docker-ce"),
    ],
)
@pytest.mark.parametrize("along", [[], ["nginx"]])
def test_transaction_that_goes_too_far_is_refused(apt, call, tmp_path, step, what, along):
    apt({"docker-ce": "5:29"}, f"Inst docker.io (26)\\n{step}\\n", {"docker.io": "26"})
    if step.startswith("Remv"):
        (tmp_path / "removes").touch()
    result = call("apt_packages", packages=["docker.io"], must_not_touch=KERNEL, along=along)
    assert result["failed"] and what in result["msg"] and " Fix: " in result["msg"] and apt.log() == []


def test_a_transaction_that_touches_nothing_out_of_bounds_is_not_rehearsed(apt, call):
    apt({}, "Inst nvidia-open (580.1-1)\\n", {"nvidia-open": "580.1-1"}, rehearsal_rc=0)
    assert call("apt_packages", packages=["nvidia-open"], must_not_touch=KERNEL)["changed"]
    assert apt.log() == ["install nvidia-open"]


def test_guard_reads_what_apt_tells_a_program_before_dpkg_begins(tmp_path):
    reported = "VERSION 2\nAPT::NeverAutoRemove::=^linux-image-x$\n\nsed 4.9-1 < 4.9-2 /x/sed.deb\n"
    _, hook, _, version = apt_command.guard(["linux-image-*", "linux-modules-*"])
    command = shlex.split(hook.partition("=")[2])
    assert version == f"DPkg::Tools::Options::{command[0]}::Version=2" and apt_command.guard([]) == []
    for more, status in (("", 0), ("linux-modules-6.12.50 - < 6.12.50-1 /x/y.deb\n", 1)):
        assert subprocess.run(command, input=reported + more, text=True, check=False).returncode == status


def test_check_mode_installs_nothing_and_accepts_what_no_source_has_yet(apt, call):
    apt({}, "Inst podman (5)\\n")
    assert call("apt_packages", check=True, packages=["podman"])["transaction"] == ["Inst podman"]
    apt({}, rehearsal_rc=100, error="E: Unable to locate package nvidia-open")
    result = call("apt_packages", check=True, packages=["nvidia-open=580.*"], hold=True)
    assert result["changed"] and result["transaction"] == ["Inst nvidia-open=580.*"] and apt.log() == []


def test_unknown_package_after_fresh_lists(apt, call):
    apt({}, rehearsal_rc=100, error="E: Unable to locate package nvidia-opem")
    result = call("apt_packages", packages=["nvidia-opem"])
    assert result["failed"] and "Unable to locate package nvidia-opem" in result["msg"] and apt.log() == ["update"]
    assert "apt-cache policy" in result["fix"]


def test_repository_that_moved_on_since_the_lists_were_fetched(apt, call, tmp_path):
    apt({}, "Inst podman (5)\\n", {"podman": "5"})
    (tmp_path / "stale").touch()
    assert call("apt_packages", packages=["podman"])["changed"]
    assert apt.log() == ["install podman", "update", "install podman"]


def test_interrupted_run_is_finished_first(apt, call):
    apt({"podman": "5"}, after={"podman": "5"}, status="half-configured")
    result = call("apt_packages", packages=["podman"])
    assert result["changed"] and apt.log() == ["dpkg --configure -a --force-confdef --force-confold"]


def hold_lock(path, held, release):
    with open(path, "w") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        held.set()
        release.wait(30)


def test_lock_of_another_program(apt, call, tmp_path):
    apt({}, "Inst podman (5)\\n", {"podman": "5"})
    held, release = multiprocessing.Event(), multiprocessing.Event()
    other = multiprocessing.Process(target=hold_lock, args=(tmp_path / "lock", held, release))
    other.start()
    assert held.wait(30)
    refused = call("apt_packages", packages=["podman"], lock_timeout_s=1)
    assert refused["failed"] and "holds dpkg" in refused["msg"] and apt.log() == []
    release.set()
    assert call("apt_packages", packages=["podman"], lock_timeout_s=30)["changed"]
    other.join()


def test_what_others_will_want_comes_in_the_same_transaction(apt, call):
    apt({}, after={"docker.io": "26.1", "nginx": "1.26"})
    result = call("apt_packages", packages=["docker.io"], along=["nginx"])
    assert apt.log() == ["install docker.io nginx"] and result["installed"] == {"docker.io": "26.1"}
    assert result["added"] == ["docker.io", "nginx"] and result["along"] == {"nginx": "1.26"}


@pytest.mark.parametrize(("hold", "held"), [(True, ["nginx"]), (False, []), (None, [])])
def test_what_came_along_at_a_version_is_held_with_the_rest(apt, call, hold, held):
    apt({}, after={"docker.io": "26.1", "nginx": "1.26", "jq": "1.7"})
    result = call("apt_packages", packages=["docker.io"], along=["nginx=1.26", "jq"], hold=hold)
    assert result["along_held"] == held and result["held"] == (["docker.io"] if hold else [])
    assert [line for line in apt.log() if line.startswith("apt-mark")] == (
        ["apt-mark hold docker.io nginx"] if hold else []
    )


def test_nothing_comes_along_where_nothing_is_missing(apt, call):
    apt({"docker.io": "26.1"})
    assert not call("apt_packages", packages=["docker.io"], along=["nginx"])["changed"] and apt.log() == []


def test_what_cannot_come_along_is_left_to_its_own_call(apt, call, tmp_path, program):
    apt({}, after={"docker.io": "26.1"})
    log = tmp_path / "log"
    program(
        "apt-get",
        f"""echo "install ${{*#*install }}" >> {log}
case " $* " in *" nginx=9 "*) echo 'E: Version 9 for nginx was not found' >&2; exit 100 ;; esac
cp {tmp_path}/after {tmp_path}/state
""",
    )
    assert call("apt_packages", packages=["docker.io"], along=["nginx=9"])["changed"]
    assert apt.log() == ["install docker.io nginx=9", "install docker.io"]


def test_modules_for_the_running_kernel_and_those_to_come_are_installed_and_held(call, apt, monkeypatch):
    monkeypatch.setattr(kernel.platform, "release", lambda: "6.8.0-45-generic")
    lead, prefix = "nvidia-headless-no-dkms-580-server-open", "linux-modules-nvidia-580-server-open"
    kernels = {"linux-image-virtual": "6.8.0.45", "linux-image-6.8.0-45-generic": "6.8.0-45.45"}
    added = {
        lead: "580.173.02-0ubuntu0.24.04.1",
        f"{prefix}-6.8.0-45-generic": "6.8.0-45.45",
        f"{prefix}-generic": "6.8.0-45.45",
    }
    apt(kernels, f"Inst {lead} (580)\\n", added)
    result = call(
        "apt_packages", packages=[f"{lead}=580.*"], kernel_modules=prefix, same_version_as=lead, hold=True,
        hold_also=["linux-modules-nvidia-*", "linux-image-[a-z]*"],
    )  # fmt: skip
    assert apt.log()[0] == f"install {lead}=580.* {prefix}-6.8.0-45-generic {prefix}-generic"
    assert result["held"] == sorted([*added, "linux-image-virtual"])


def test_what_is_held_beside_the_driver_does_not_move_with_it(call, apt):
    apt({"lead": "580.1-1", "linux-image-generic": "6.8.0.45"}, "Inst lead\\n", {"lead": "580.2-1"})
    call("apt_packages", packages=["lead=580.2-*"], same_version_as="lead", hold=True, hold_also=["linux-image-[a-z]*"])
    assert apt.log()[0] == "install lead=580.2-*"


OLD, NEW = "580.95.05-1", "580.173.02-1"
NEEDS = {
    "nvidia-open": "nvidia-kernel-open-dkms (= @), nvidia-driver (= @)",
    "nvidia-driver": "libcuda1 (= @), libnvidia-ml1:amd64 (= @), libc6 (>= 2.36), nvidia-a (= @) | nvidia-b (= @)",
    "libcuda1": "libc6",
}
FAMILY = ["libcuda1", "libnvidia-ml1", "nvidia-driver", "nvidia-kernel-open-dkms", "nvidia-open"]
DRIVER = {"packages": ["nvidia-open=580.*"], "same_version_as": "nvidia-open", "hold": True}


@pytest.fixture
def driver(apt, program, tmp_path):
    """driver(versions that differ, offered): a driver's packages, which ask for each other's exact version."""

    def set_up(differ=(), offered=(OLD, NEW), held=True, after=OLD):
        have = {name: OLD for name in FAMILY} | dict(differ)
        have = {name: version for name, version in have.items() if version}
        apt({f"!{name}" if held else name: version for name, version in have.items()}, "Inst x (1)\\n")
        rows = "".join(f"{n}\tamd64\t{after}\t{'hold' if held else 'install'}\tinstalled\n" for n in FAMILY)
        (tmp_path / "after").write_text(rows)
        needs = "".join(f"{name}\t{NEEDS.get(name, '').replace('@', have[name])}\t\n" for name in have)
        (tmp_path / "needs").write_text(needs)
        program("dpkg-query", f"case $* in *Depends*) cat {tmp_path}/needs ;; *) cat {tmp_path}/state ;; esac\n")
        program("apt-cache", "".join(f'echo " $2 | {version} | x"\n' for version in offered))

    return set_up


def test_a_family_that_is_together_is_left_alone(apt, call, driver):
    driver()
    assert not call("apt_packages", **DRIVER)["changed"] and apt.log() == []


def test_a_package_that_was_upgraded_past_its_hold_goes_back_to_its_family(apt, call, driver):
    driver({"libnvidia-ml1": NEW})
    assert call("apt_packages", check=True, **DRIVER)["changed"] and apt.log() == []
    result = call("apt_packages", **DRIVER)
    assert result["changed"] and apt.log() == [f"install libnvidia-ml1={OLD}"]
    assert set(result["held"]) == set(FAMILY)
    assert not call("apt_packages", **DRIVER)["changed"]


def test_a_tool_that_nothing_asks_for_in_one_version_comes_back_too(apt, call, driver):
    driver({"nvidia-modprobe": "595.91.07-1", "nvidia-driver-pinning-580": "580-1", "libnvidia-container1": "1.20.1-1"})
    assert call("apt_packages", **DRIVER)["changed"]
    assert apt.log() == [f"install nvidia-modprobe={OLD}"]


def test_a_tool_that_the_driver_s_source_has_not_in_its_version_stays(apt, call, driver):
    driver({"nvidia-modprobe": "535.171.04-1"}, offered=["535.171.04-1"])
    assert not call("apt_packages", **DRIVER)["changed"] and apt.log() == []


def test_a_package_that_is_gone_comes_back(apt, call, driver):
    driver({"libcuda1": ""})
    assert call("apt_packages", **DRIVER)["changed"] and apt.log() == [f"install libcuda1={OLD}"]


def test_the_family_goes_forward_where_no_source_has_its_version_any_more(apt, call, driver):
    driver({"libnvidia-ml1": NEW}, offered=[NEW], after=NEW)
    assert call("apt_packages", **DRIVER)["changed"]
    assert apt.log() == ["install " + " ".join(f"{name}={NEW}" for name in FAMILY)]


def test_a_version_that_was_asked_for_is_not_left_for_a_stray(apt, call, driver):
    driver({"libnvidia-ml1": NEW}, offered=[NEW])
    call("apt_packages", **DRIVER | {"packages": ["nvidia-open=580.95.05-*"]})
    assert apt.log() == [f"install libnvidia-ml1={OLD}"]  # apt says what is wrong


def test_a_stray_moves_with_the_lead(apt, call, driver):
    driver({"libnvidia-ml1": "580.99.01-1"}, after=NEW)
    call("apt_packages", **DRIVER | {"packages": ["nvidia-open=580.173.02-*"]})
    (line,) = apt.log()
    assert sorted(line.split()[1:]) == sorted(f"{name}=580.173.02-*" for name in FAMILY)


def test_a_hold_of_somebody_else_is_released_for_the_transaction_and_put_back(apt, call):
    apt({"!libcuda1": "550.1-1", "!docker-ce": "5"}, "Inst nvidia-open (580.1-1)\\n", {"nvidia-open": "580.1-1"})
    arguments = {"packages": ["nvidia-open=580.*"], "may_remove": ["libcuda*"], "along": []}
    assert call("apt_packages", **arguments)["changed"]
    assert apt.log() == ["apt-mark unhold libcuda1", "install nvidia-open=580.*", "apt-mark hold libcuda1"]


def test_broken_packages_are_repaired_when_apt_asks_for_that(apt, call, program, tmp_path):
    apt({}, after={"podman": "5"})
    log = tmp_path / "log"
    program(
        "apt-get",
        f"""case " $* " in
*" --fix-broken "*) echo repaired >> {log}; exit 0 ;;
*" update "*) exit 0 ;;
esac
grep -q repaired {log} || {{ echo "E: Unmet dependencies. Try 'apt --fix-broken install'." >&2; exit 100; }}
case " $* " in *" -s "*) echo 'Inst podman (5)' ;; *) cp {tmp_path}/after {tmp_path}/state ;; esac
""",
    )
    program("dpkg", "exit 1\n")
    assert call("apt_packages", packages=["podman"])["changed"] and apt.log() == ["repaired"]
