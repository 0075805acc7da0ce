"""What a host's package manager says of packages and files, whichever it is."""

import re

from ansible.module_utils.host.outcome import run
from ansible.module_utils.packages import families
from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.packages.rpm import database as rpm_database

DATABASES = {"apt": dpkg, "dnf": rpm_database}


def installed():
    """{name: version} of the packages that are installed."""
    database = DATABASES[families.here().name]
    return database.installed(database.packages())


def owner(path):
    """The installed package that has a file, which may be gone from where it was; "" for none."""
    rc, out, _err = run([*families.here().owner, path])
    lines = [line for line in out.splitlines() if not line.startswith("diversion ")]
    return re.split("[,:]", lines[0])[0] if rc == 0 and lines else ""  # dpkg: "one:amd64, other: /the/path"


def install(*names):
    """What a person types to install packages."""
    return " ".join([families.here().installs, *names])
