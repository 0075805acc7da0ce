"""The state of packages as dpkg has it, the package manager's lock, and the repair of an interrupted run."""

import fcntl
import os
import time

from ansible.module_utils.host.outcome import last_line, run

FORMAT = "${Package}\t${Architecture}\t${Version}\t${db:Status-Want}\t${db:Status-Status}\n"
LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")
BROKEN = ("half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending")


def environment():
    """For apt and dpkg: never ask, never translate, never restart services behind our back."""
    return dict(
        os.environ,
        DEBIAN_FRONTEND="noninteractive",
        LC_ALL="C",
        NEEDRESTART_MODE="l",
        UCF_FORCE_CONFFOLD="1",
        APT_LISTCHANGES_FRONTEND="none",
    )


def packages():
    """{name: {version, held, status}} of what dpkg knows; of two architectures the installed one counts."""
    known = {}
    _rc, out, _err = run(["dpkg-query", "-W", "-f", FORMAT])
    for line in out.splitlines():
        name, _architecture, version, want, status = line.split("\t")
        if status != "not-installed" and (name not in known or status == "installed"):
            known[name] = {"version": version, "held": want == "hold", "status": status}
    return known


def installed(known):
    """{name: version} of the packages that are fully installed."""
    return {name: package["version"] for name, package in known.items() if package["status"] == "installed"}


def interrupted(known, updates="/var/lib/dpkg/updates"):
    """Did a dpkg run die half way?"""
    journal = os.path.isdir(updates) and os.listdir(updates)
    return bool(journal) or any(package["status"] in BROKEN for package in known.values())


def wait_for_lock(seconds, locks=LOCKS):
    """True once no other program holds dpkg's locks; False when one still does after so many seconds."""
    end = time.monotonic() + seconds
    while any(_held(lock) for lock in locks):
        if time.monotonic() >= end:
            return False
        time.sleep(1)
    return True


def _held(lock):
    try:
        with open(lock, "r+b") as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


def repair(lock_timeout):
    """Finishes an interrupted run. Returns "" or why it could not be finished."""
    options = ["--force-confdef", "--force-confold"]
    rc, out, err = run(["dpkg", "--configure", "-a", *options], timeout=1800, env=environment())
    if rc == 0 and not interrupted(packages()):
        return ""
    rc, out, err = run(
        [
            "apt-get",
            "-y",
            "--fix-broken",
            "--no-remove",
            "--allow-change-held-packages",
            "--allow-downgrades",
            "-o",
            f"DPkg::Lock::Timeout={lock_timeout}",
            "install",
        ],
        timeout=1800,
        env=environment(),
    )
    return "" if rc == 0 else last_line(err) or last_line(out)
