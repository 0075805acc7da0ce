"""The apt-get command: a transaction that nobody is asked about, with a guard in it, the rehearsal of one, new lists."""

import re
import time

from ansible.module_utils.host.outcome import run
from ansible.module_utils.packages.apt import dpkg

INSTALL = [
    "apt-get",
    "-y",
    "--no-install-recommends",
    "--allow-change-held-packages",
    "--allow-downgrades",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "Acquire::Retries=3",
]
SHELL = "/bin/sh"
LOCKED = re.compile("Could not get lock|Unable to lock")


def guard(patterns):
    """Options of apt by which it gives up before dpkg begins, when a package that matches would be touched."""
    if not patterns:
        return []
    look = "while read -r name rest; do case $name in {}) exit 1;; esac; done".format("|".join(patterns))
    return ["-o", f"DPkg::Pre-Install-Pkgs::={SHELL} -c '{look}'", "-o", f"DPkg::Tools::Options::{SHELL}::Version=2"]


class Apt:
    """Runs apt-get; every answer is (exit status, stdout, stderr). lock_timeout_s: how long another program may take."""

    def __init__(self, lock_timeout_s):
        self.lock_timeout_s = lock_timeout_s

    def do(self, arguments):
        """The transaction."""
        lock = ["-o", f"DPkg::Lock::Timeout={self.lock_timeout_s}"]
        return run(INSTALL + lock + arguments, timeout=3600, env=dpkg.environment())

    def rehearse(self, arguments):
        """What it would do."""
        return run([*INSTALL, "-s", *arguments], timeout=120, env=dpkg.environment())

    def update(self, *options):
        """New lists, once no other program is at them."""
        end, answer = time.monotonic() + self.lock_timeout_s, (1, "", "Could not get lock")
        while answer[0] != 0 and LOCKED.search(answer[2]) and time.monotonic() < end:
            command = ["apt-get", "update", "-q", "-o", "Acquire::Retries=3", *options]
            answer = run(command, timeout=600, env=dpkg.environment())
            if LOCKED.search(answer[2]):
                time.sleep(2)
        return answer
