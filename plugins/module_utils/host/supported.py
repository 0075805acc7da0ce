"""Which combinations of system, container engine, driver source and branch are served: the tables of role `platform`, asked.

Reads tables only and imports nothing of Ansible's: it runs on hosts, on the controller and for the reference pages.
A system is a row of _platform_systems. An answer is (what there is, "") or (what is wrong, what works instead).
"""

ENGINES = {"docker": "Docker", "podman": "Podman"}
SOURCES = {
    "nvidia": "NVIDIA's repository",
    "distribution": "the distribution's own packages",
    "docker": "Docker's own repository",
}


def refused(system, kind, source):
    """Why this system's source is not served with."""
    why = (system.get("refused") or {}).get(kind, {}).get(source)
    if why:
        return why
    what = f"{ENGINES[kind]} packages" if kind in ENGINES else "driver"
    return "{} has no {} from {}".format(system["name"], what, SOURCES.get(source, source))


def engine(systems, system, name, source=""):
    """Is this engine served on this system, from this source ("": the table's first)?"""
    offers = system.get(name) or {}
    desired = source or next(iter(offers), "distribution")
    if desired in offers:
        return "{} from {}: {}".format(ENGINES[name], SOURCES[desired], ", ".join(offers[desired])), ""
    others = [other for other in ENGINES if other != name and system.get(other)]
    ways = [f"docker_source to {other}" for other in offers if name == "docker"]
    ways += [] if ways else [f"deepgram_container_engine to {other}" for other in others]
    elsewhere = [one["name"] for one in systems if desired in (one.get(name) or {})]
    ways = ["Set " + " or ".join(ways)] if ways else []
    ways += ["use a server with " + " or ".join(elsewhere)] if elsewhere else []
    return refused(system, name, desired), "; or ".join(ways)


def driver(systems, system, source, branch):
    """Has this system a driver of this branch from this source?"""
    offers, branch = system.get("driver") or {}, str(branch)
    if source not in offers:
        ways = [f"Set nvidia_driver_source to {other}" for other in offers]
        elsewhere = [one["name"] for one in systems if source in (one.get("driver") or {})]
        ways += ["use a server with " + " or ".join(elsewhere)] if elsewhere else []
        return refused(system, "driver", source), "; or ".join(ways)
    if branch in offers[source]["branches"]:
        return f"branch {branch} from {SOURCES[source]}", ""
    what = "{} has no driver of branch {} from {}".format(system["name"], branch, SOURCES[source])
    ways = [f'Set nvidia_driver_branch to "{nearest(offers[source]["branches"], branch)}"']
    ways += [f"nvidia_driver_source to {other}" for other in offers if branch in offers[other]["branches"]]
    return what, " or ".join(ways)


def anywhere(systems, source, branch):
    """(what is wrong, what works) with a driver that no system has; None for one that a system has."""
    offers = [row["driver"][source]["branches"] for row in systems if source in (row.get("driver") or {})]
    known = sorted({one for branches in offers for one in branches})
    if branch in known:
        return None
    what = f"no system has a driver of branch {branch} from {SOURCES[source]}"
    ways = [f'set nvidia_driver_branch to "{nearest(known, branch)}"'] if known else []
    others = sorted({
        other
        for row in systems
        for other, offer in (row.get("driver") or {}).items()
        if other != source and branch in offer["branches"]
    })  # fmt: skip
    return what, " or ".join(ways + [f"nvidia_driver_source to {other}" for other in others])


def nearest(branches, branch):
    """The branch next to the wanted one; of two at the same distance the newer."""
    desired = int(branch) if branch.isdigit() else 0
    return min(branches, key=lambda one: (abs(int(one) - desired), -int(one)))
