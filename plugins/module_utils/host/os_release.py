"""Which system a host has, by its os-release and the table of systems of role `platform`.

Imports nothing: it runs on hosts, in the look, and on the controller.
"""

PATH = "/etc/os-release"


def fields(path=PATH):
    """The fields of os-release as a dict; {} where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            pairs = [line.split("=", 1) for line in stream if "=" in line]
    except OSError:
        return {}
    return {key: value.strip().strip("\"'") for key, value in pairs}


def entry(systems, release):
    """The entry of the table for a system with this os-release, or {}."""
    version = release.get("VERSION_ID", "")
    for one in systems:
        if release.get("ID") in one["distributions"] and {version, version.split(".")[0]} & set(one["versions"]):
            return one
    return {}


def facts(systems, release):
    """Which system this is, under the names of Ansible's own facts; {} for one that the table does not have."""
    match = entry(systems, release)
    if not match:
        return {}
    version = release["VERSION_ID"]
    return {
        "ansible_distribution": match["distributions"][release["ID"]],
        "ansible_distribution_version": version,
        "ansible_distribution_major_version": version.split(".")[0],
        "ansible_pkg_mgr": match["packages"],
    }
