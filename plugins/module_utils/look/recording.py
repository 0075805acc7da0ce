"""What a role may not leave on record: something that is not as it declared it, or foreign content that it found and left.

A record is what the role meant. What is wrong and recorded as right nobody looks at again.
"""

import time

from ansible.module_utils.host import files as host_files
from ansible.module_utils.host import units as host_units
from ansible.module_utils.look import things as look_things

SETTLES_S = 10  # a unit that was just restarted, or a container, may need a moment
SLOW = ("units", "containers")


def faults(declared, things, before, desired):
    """[(thing, seen, fix)] of what must not be recorded. `before`: the record that the run began with, or None."""
    found = [*_unmet(things), *_loose(declared, things), *_left(declared, things, before or {}, desired)]
    end = time.monotonic() + SETTLES_S
    slow = list(_unsettled(things))
    while slow and time.monotonic() < end:
        time.sleep(0.3)
        slow = list(_unsettled(things))
    return found + slow


def settle_holds(declared, things):
    """Has the record hold what the role does; what somebody else holds besides is theirs."""
    for name, seen in (things.get("packages") or {}).items():
        things["packages"][name] = {**seen, "held": name in declared["held"]} if seen else {}


def text(found):
    """(what, fix) of some faults as one error."""
    shown = [f"{thing} {seen}" for thing, seen, _ in found[:3]]
    rest = f", and {len(found) - 3} more" if len(found) > 3 else ""
    return f"not as the role left it, so it is not recorded: {'; '.join(shown)}{rest}", found[0][2]


def _unmet(things):
    for path, seen in (things.get("files") or {}).items():
        if not seen:
            yield f"file {path}", "is missing", f"see what removes {path} on the server, then run again"
    for thing, how in host_files.compare_absent(things.get("absent") or ()):
        path = thing.partition(" ")[2]
        yield thing, how, f"see what writes {path} on the server, rm {path}, then run again"
    for name, seen in (things.get("packages") or {}).items():
        if seen.get("status") != "installed":
            fix = f"on the server: dpkg --configure -a, or dnf check {name}; then run again"
            yield f"package {name}", f"is {seen.get('status', 'not installed')}", fix


def _loose(declared, things):
    for name, seen in (things.get("packages") or {}).items():
        if name in declared["held"] and seen.get("status") == "installed" and not seen["held"]:
            fix = f"on the server: apt-mark hold {name}, or dnf versionlock add {name}; then run again"
            yield f"package {name}", "is not held", fix


def _left(declared, things, before, desired):
    """Files that were foreign when the run began, and are so still, though the role means what it meant."""
    meant = (before.get("desired") or {}).get("fingerprint")
    if not meant or meant != desired.get("fingerprint"):
        return
    recorded, now = _of_files(before["things"]), _of_files(things)
    for path, found in (before.get("found") or {}).items():
        was = recorded.get(path)
        if path in declared["shared"] or not (was and found and now.get(path)):
            continue
        foreign = {key: value for key, value in found.items() if was.get(key) != value == now[path].get(key)}
        how = host_files.difference(was, {**was, **foreign})
        if how:
            yield f"{was['type']} {path}", how, _fix(path, was, foreign)


def _of_files(things):
    """Large files too; that one was written again says nothing once its role has read it."""
    large = (things.get("large_files") or {}).items()
    plain = {path: {key: value for key, value in seen.items() if key != "mtime_ns"} for path, seen in large}
    return {**plain, **(things.get("files") or {})}


def _fix(path, was, foreign):
    if "type" in foreign or "sha256" in foreign or "target" in foreign:
        return f"on the server: mv {path} {path}.foreign; then run again"
    owner = f"chown {was['uid']}:{was['gid']} {path}" if {"uid", "gid"} & set(foreign) else ""
    mode = f"chmod {was['mode']} {path}" if "mode" in foreign else ""
    return f"on the server: {'; '.join(filter(None, (owner, mode)))}; then run again"


def _unsettled(things):
    slow = {kind: things[kind] for kind in SLOW if things.get(kind)}
    server = look_things.Server([slow])
    for thing, how in host_units.compare(slow["units"], server.units()) if "units" in slow else ():
        unit = thing.partition(" ")[2]
        yield thing, how, f"on the server: systemctl status {unit}; journalctl -u {unit} -n 50; then run again"
    containers = slow.get("containers") or {"names": {}}
    for name in containers["names"]:
        seen = server.containers(containers["engine"])[name]
        how = seen if isinstance(seen, str) else f"is {seen['state']} instead of running"
        if isinstance(seen, str) or seen["state"] != "running":
            yield (
                f"container {name}",
                how,
                f"on the server: {containers['engine']} logs --tail 50 {name}; then run again",
            )
