"""What a host's package manager says of packages and files, whichever it is."""

from ansible.module_utils import dpkg, rpmdb
from ansible.module_utils.applied_rpm import is_rpm
from ansible.module_utils.outcome import run


def installed():
    """{name: version} of the packages that are installed."""
    database = rpmdb if is_rpm() else dpkg
    return database.installed(database.packages())


def owned(path):
    """Does a file belong to a package?"""
    return run(["rpm", "-qf", path] if is_rpm() else ["dpkg-query", "--search", path])[0] == 0


def install(*names):
    """What a person types to install packages."""
    return " ".join(["dnf" if is_rpm() else "apt-get", "install", *names])
