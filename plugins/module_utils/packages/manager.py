"""What a host's package manager says of packages and files, whichever it is."""

import re

from ansible.module_utils.host.outcome import run
from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.packages.rpm import database as rpm_database
from ansible.module_utils.packages.rpm.query import is_rpm


def installed():
    """{name: version} of the packages that are installed."""
    database = rpm_database if is_rpm() else dpkg
    return database.installed(database.packages())


def owner(path):
    """The installed package that has a file, which may be gone from where it was; "" for none."""
    question = ["rpm", "-qf", "--qf", "%{NAME}\n"] if is_rpm() else ["dpkg-query", "--search"]
    rc, out, _err = run([*question, path])
    lines = [line for line in out.splitlines() if not line.startswith("diversion ")]
    return re.split("[,:]", lines[0])[0] if rc == 0 and lines else ""  # dpkg: "one:amd64, other: /the/path"


def install(*names):
    """What a person types to install packages."""
    return " ".join(["dnf" if is_rpm() else "apt-get", "install", *names])
