"""Files, directories and links that a role made, those that it took away, and large files."""

import json
import os
import stat
import time

from ansible.module_utils.host.record import sha256


def read(path):
    """The stripped text of a small file; "" when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def existing_parent(path):
    """The nearest directory on the way to a path that exists: its filesystem is the one that the path will be on."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def look_at(path):
    """What is at a path, as it is recorded; {} for nothing."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if stat.S_ISLNK(found.st_mode):
        return {"type": "link", "target": os.readlink(path)}
    rights = {"mode": f"{stat.S_IMODE(found.st_mode):04o}", "uid": found.st_uid, "gid": found.st_gid}
    if stat.S_ISDIR(found.st_mode):
        return {"type": "directory", **rights}
    if not stat.S_ISREG(found.st_mode):
        return {"type": "special file", **rights}
    return {"type": "file", **rights, "sha256": _hash(path)}


def read_json(path):
    """What a file in JSON holds; None for one that cannot be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None


def look_at_large(path):
    """The same of a file too large to be read each time."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {
        "type": "file" if stat.S_ISREG(found.st_mode) else "something else",
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
    }


def compare(recorded, look=look_at):
    """(thing, how) of each path at which something else is than recorded."""
    for path, was in recorded.items():
        try:
            now = look(path)
        except OSError as error:
            yield f"file {path}", f"cannot be read: {error.strerror}"
            continue
        how = difference(was, now)
        if how:
            yield f"{was.get('type', 'file')} {path}", how


def found(things):
    """{path: what is there} of the recorded files that are not as recorded."""
    seen = {}
    for kind, look in (("files", look_at), ("large_files", look_at_large)):
        for path, was in (things.get(kind) or {}).items():
            try:
                now = look(path)
            except OSError:
                continue
            if now != was:
                seen[path] = now
    return seen


def compare_absent(paths):
    for path in paths:
        if os.path.lexists(path):
            yield f"file {path}", "is there, and must not be"


def written_after(paths, moment):
    """Those of the paths that were written after a moment. A date in the future says nothing."""
    now = time.time()
    return [path for path in paths if os.path.exists(path) and moment < os.stat(path).st_mtime <= now]


def difference(was, now):
    """In what two looks at a path differ; "" for nothing."""
    if not now:
        return "missing"
    if not was:
        return "was missing when the role ended"
    if was["type"] != now["type"]:
        return f"is a {now['type']}"
    differences = [
        "content differs" if was.get("sha256") != now.get("sha256") else "",
        _differ("points to {} instead of {}", was, now, "target"),
        _differ("size {} instead of {}", was, now, "size"),
        "was written again" if was.get("mtime_ns") != now.get("mtime_ns") else "",
        _differ("mode {} instead of {}", was, now, "mode"),
        _differ("owner {}:{} instead of {}:{}", was, now, "uid", "gid"),
    ]
    return ", ".join(filter(None, differences))


def _differ(text, was, now, *keys):
    before, after = [was.get(key) for key in keys], [now.get(key) for key in keys]
    return text.format(*after, *before) if before != after else ""


def _hash(path):
    digest = sha256()
    with open(path, "rb") as stream:
        while True:
            part = stream.read(1 << 20)
            if not part:
                return digest.hexdigest()
            digest.update(part)
