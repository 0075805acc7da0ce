"""The doctor on what the roles wrote: files that were edited by hand, and secrets that others may read."""

import os

from ansible.module_utils.doctor import toolkit as doctor_toolkit
from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.service import engine as doctor_engine
from ansible.module_utils.host import files as host_files

OPEN = 0o077


def edited(host):
    """[(path, how)] of what is not as the roles recorded it. Of a file all counts, of a directory its owner and mode."""
    found = []
    for role in host.roles():
        things = host.recorded(role)
        for thing, how in host_files.compare(things.get("files") or {}, host.look_at):
            found.append((thing.partition(" ")[2], how))
        found = [(path, how) for path, how in found if not elsewhere(host, path, how)]
        found += [(path, "is there, and must not be") for path in things.get("absent") or () if host.exists(path)]
    return found


def elsewhere(host, path, how):
    """Whether another check says more of it: of the mode of a file with a key, and of a file that Docker cannot read."""
    if path == doctor_toolkit.DAEMON_JSON:
        return bool(doctor_toolkit.daemon_settings(host)[1])
    return how.startswith("mode") and "," not in how and closed(host.all_recorded("files")[path])


def files(host):
    if not host.roles():
        return unknown("no role has left a record here")
    found = host.once("edited", lambda: edited(host))
    if not found:
        return healthy("as the roles wrote them")
    words = [meaning(host, path) if how.startswith("content") else f"{path}: {how}" for path, how in found]
    return unhealthy(listed(words), paths=[path for path, _ in found])


def meaning(host, path):
    """What it means that somebody edited a file, where that is known."""
    text = f"{path} was edited by hand"
    table = doctor_engine.misplaced(host.read(path)) if path in doctor_engine.files(host) else ""
    return f"{text}: {doctor_engine.LIMIT} stands under [{table}], so the Engine has no limit" if table else text


def secrets(host):
    """Files that the roles wrote for root alone."""
    private = {path for path, was in host.all_recorded("files").items() if was.get("type") == "file" and closed(was)}
    modes = {path: host.look_at(path).get("mode", "0600") for path in sorted(private)}
    loose = [path for path, mode in modes.items() if int(mode, 8) & OPEN]
    if loose:
        seen = listed(f"{path} has mode {modes[path]}" for path in loose)
        return unhealthy(
            seen, fix=f"on the server: chmod 600 {' '.join(loose)}; if others have accounts there, replace the key too"
        )
    return (
        healthy(listed(os.path.basename(path) for path in modes)) if modes else unknown("no secret is on record here")
    )


def closed(was):
    return not int(was.get("mode", "0777"), 8) & OPEN


CHECKS = (
    Check(
        "key files", secrets,
        "the modes of the files with keys, which the roles wrote for root alone",
        "0600",
        "somebody opened it, or copied it back with another mode",
        "on the server: chmod 600 FILE",
        True, ("config.secrets_private",), False,
        stands_on=(),
    ),
    Check(
        "files", files,
        "content, mode and owner of every file that the roles recorded",
        "as the roles wrote them",
        "somebody else wrote it: what is set in the inventory does not hold here",
        "dgctl provision (it writes them again); what is to stay belongs into the inventory",
        True, (), False,
        stands_on=("disk",),
    ),
)  # fmt: skip
