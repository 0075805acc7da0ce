"""Which findings follow from which: one fault, one cause, and the rest folded under it.

Checks stand on others (`stands_on`): from the metal up PCI, driver, CDI, the container's GPU, models, Engine, licence, API,
upstreams, NGINX, TLS and port; disk, clock, packages, units and files beside them. A check that fails follows from another
that fails where nothing between the two passes: what passes is in order, and so is all that it hands on. `files:/etc/nginx/`
stands on the check `files` only where what it found is below that directory.
"""


def fold(findings, graph):
    """Gives each failing finding that another one explains `follows`, the name of that one; takes `stands_on`, `paths` from all.

    graph: {check: names that it stands on}; a finding's own `stands_on` is nearer. Findings stand from the ground up, and the
    first cause in their order counts.
    """
    near = {found["check"]: found.pop("stands_on", None) for found in findings}
    paths = {found["check"]: found.pop("paths", ()) for found in findings}
    verdicts = {found["check"]: found["verdict"] for found in findings}
    edges = {**graph, **{name: names for name, names in near.items() if names is not None}}
    edges = {name: [one for one in map(divided, names) if concerns(one, paths)] for name, names in edges.items()}
    failing = [name for name, verdict in verdicts.items() if verdict == "fail"]
    grounds = {name: reached(name, edges, verdicts) for name in failing}
    for found in findings:
        below = grounds.get(found["check"], set())
        causes = [name for name in failing if name in below and not grounds[name]]
        if causes:
            found["follows"] = causes[0]
    return findings


def divided(ground):
    """(check, directory that it is to be about or "") of what a check stands on."""
    return ground.partition(":")[::2]


def concerns(ground, paths):
    """Whether what a check found is about the directory; one that names no paths is about all."""
    name, place = ground
    return not (place and paths.get(name)) or any(path.startswith(place) for path in paths[name])


def reached(name, edges, verdicts):
    """The failing checks below one, past those that could not be made."""
    found, seen, ahead = set(), {name}, list(edges.get(name, ()))
    while ahead:
        one, _ = ahead.pop()
        if one in seen or verdicts.get(one) == "pass":
            continue
        seen.add(one)
        found.update([one] if verdicts.get(one) == "fail" else [])
        ahead += edges.get(one, ())
    return found
