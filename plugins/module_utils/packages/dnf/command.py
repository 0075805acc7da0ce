"""The dnf command, with a guard in it that knows the transaction before it begins.

The command and not its Python interface: that exists for one Python of the host only, which need not be the module's.
"""

import glob
import json
import os
import re
import shutil
import tempfile
import time

from ansible.module_utils.host.outcome import last_line, run
from ansible.module_utils.packages.dnf import guard as dnf_guard
from ansible.module_utils.packages.rpm import database as rpm_database

LOCKED = 200  # dnf's exit status when another dnf is at work
PLUGINS = "/usr/lib/python3*/*-packages/dnf-plugins"
MODULES = "/etc/dnf/modules.d"
OPTIONS = ["-y", "--setopt=install_weak_deps=False", "--setopt=plugins=1", "--setopt=exit_on_lock=1"]
NO_REQUEST = {"enable": [], "erase": [], "lead": None, "version": "*", "must_not_touch": [], "may_remove": ["*"]}
NOISE = re.compile(r"No matches found for the following|^Error: this transaction is not allowed")
# What dnf says, and what to do about it; the first that matches counts.
ADVICE = (
    (
        r"(No match for argument|Unable to find a match).*kernel-(uek-)?devel",
        (
            "The repositories keep headers of current kernels only: dnf upgrade, reboot into the new kernel, then "
            "run again."
        ),
    ),
    (
        r"filtered out by (modular|exclude) filtering",
        "Another stream of its module or a versionlock is in the way: dnf module list, dnf versionlock list.",
    ),
    (
        r"(No match for argument|Unable to find a match|No matching Modules|Unable to resolve argument)",
        "Correct the package or its version, or the repository that should have it (dnf list --showduplicates NAME).",
    ),
    (
        r"nothing provides",
        (
            "A repository with what is missing is not enabled: EPEL and CRB (CodeReady Builder) have what the driver "
            "needs; see nvidia_driver_epel_url."
        ),
    ),
    (
        r"(GPG check FAILED|GPG signature verification error|not signed|Public key .* is not installed|bad PGP signature)",
        (
            "The repository is not signed by the key that was given for it: correct its _repository_url and its "
            "_repository_key variables."
        ),
    ),
    (r"(already locked|is held by|another process)", "Another program is using dnf: wait for it, then run again."),
    (r"(No space left|Disk Requirements|At least .* more space)", "Free space in /var and /usr, then run again."),
    (
        r"(Failed to download|Curl error|Cannot download|Could not resolve|All mirrors were tried|Status code: \d+)",
        "Look at this host's way to its package servers (dnf makecache), then run again.",
    ),
    (
        r"(conflicting requests|conflicts with|problem with installed|cannot install both)",
        "Another package is in the way: dnf install by hand shows which; remove it.",
    ),
    (
        r"(Bad return status for module build|Error! .*[Dd][Kk][Mm][Ss])",
        (
            "The driver does not build for this kernel: see /var/lib/dkms/nvidia/*/build/make.log, choose a newer "
            "driver or another kernel."
        ),
    ),
)


def advice(text):
    """What to do about an error of dnf."""
    return next(
        (fix for pattern, fix in ADVICE if re.search(pattern, text, re.S)),
        "Run again: what was begun is finished first. By hand on the host, dnf says more.",
    )


def errors(rc, out, err):
    """What dnf says is wrong, on one line."""
    if rc < 0:
        return f"it was killed (signal {-rc})"
    lines = [line.strip() for line in err.splitlines() if line.strip() and not NOISE.search(line)]
    wrong = [
        line for line in (out + "\n" + err).splitlines() if re.match(r"No match for argument|All matches were", line)
    ]
    return "; ".join([*wrong, *lines[-3:]]) or last_line(out)


def environment(**more):
    """For dnf: never translate."""
    return dict(os.environ, LC_ALL="C.UTF-8", **more)


class Dnf:
    """Runs dnf. lock_timeout_s: how long another dnf or rpm may keep it waiting."""

    def __init__(self, lock_timeout_s, max_age_s=None):
        self.lock_timeout_s = lock_timeout_s
        self.options = OPTIONS + ([f"--setopt=metadata_expire={max_age_s}"] if max_age_s is not None else [])

    def plain(self, *arguments, timeout=3600):
        """(exit status, stdout, stderr) of dnf as it is, once no other one is at work."""
        return self._patient(["dnf", *self.options, *arguments], environment(), timeout)

    def guarded(self, arguments, request, rehearse=False):
        """(exit status, stdout, stderr, report) of a transaction that does what is allowed, or with rehearse nothing.

        The report is the guard's: steps, and what of them is not allowed; None when dnf did not get that far.
        """
        scratch = tempfile.mkdtemp(prefix="dnf-guard-")
        try:
            source = dnf_guard.__loader__.get_source(dnf_guard.__name__)
            _write(os.path.join(scratch, "deployment_guard.py"), source)
            report = os.path.join(scratch, "report")
            _write(os.path.join(scratch, "request"), json.dumps({**NO_REQUEST, **request, "report": report}))
            paths = ",".join([*sorted(glob.glob(PLUGINS)), scratch])
            command = ["dnf", *self.options, f"--setopt=pluginpath={paths}", *(["--assumeno"] if rehearse else [])]
            settings = environment(**{dnf_guard.REQUEST: os.path.join(scratch, "request")})
            answer = self._patient([*command, *arguments], settings, 3600)
            return (*answer, _read(report))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _patient(self, argv, env, timeout):
        end = time.monotonic() + self.lock_timeout_s
        while True:
            busy = rpm_database.at_work()
            answer = (LOCKED, "", "rpm's lock is held by another program") if busy else run(argv, timeout, env)
            if answer[0] != LOCKED or time.monotonic() >= end:
                return answer
            time.sleep(2)


def _write(path, text):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def _read(path):
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def enabled_stream(module, folder=None):
    """The enabled stream of a module; "" for none."""
    path = os.path.join(folder or MODULES, module + ".module")
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as stream:
        fields = dict(line.strip().split("=", 1) for line in stream if "=" in line)
    return fields.get("stream", "") if fields.get("state") == "enabled" else ""
