"""What differs between package families, a row each: modules read the row of their host, and none asks which family it is.

What a row cannot say stands in a table by the family's name where it is used. The look at a host carries this file along:
only the standard library.
"""

import os
from collections import namedtuple

# name: as the systems' table of role platform has it (`packages`).
# database: a file without which the host has no packages that we know; "" for none.
# installs, removes, upgrades: what a person types. timekeeper: a package that keeps the clock right.
# owner: asks who has a file, which follows. rehearses_erasure, erases: what takes packages away, whose names follow.
Family = namedtuple(
    "Family", "name database installs removes upgrades owner rehearses_erasure erases timekeeper"
)  # typing's would be loaded by every look

# What a host of a family has, in the order in which it is asked: Debian may have dnf too, as a tool beside its own.
PROGRAMS = {"apt": "/usr/bin/apt-get", "dnf": "/usr/bin/dnf"}
FAMILIES = {
    row.name: row
    for row in (
        Family(
            name="apt",
            database="/var/lib/dpkg/status",
            installs="apt-get install",
            removes="apt-get purge",
            upgrades="apt-get dist-upgrade",
            owner=("dpkg-query", "--search"),
            rehearses_erasure=("apt-get", "-s", "purge"),
            erases=("apt-get", "-y", "purge"),
            timekeeper="systemd-timesyncd",
        ),
        Family(
            name="dnf",
            database="",
            installs="dnf install",
            removes="dnf remove",
            upgrades="dnf upgrade",
            owner=("rpm", "-qf", "--qf", "%{NAME}\n"),
            rehearses_erasure=("rpm", "-e", "--test"),
            erases=("rpm", "-e"),
            timekeeper="chrony",
        ),
    )
}


def here(exists=os.path.exists):
    """The row of a host, by the programs that it has; where it has none of them, the first."""
    return FAMILIES[next((name for name, path in PROGRAMS.items() if exists(path)), next(iter(PROGRAMS)))]
