"""Files that are put back as they were: content, mode, owner; and model files by a second name."""

from __future__ import annotations

import hashlib
import os
import stat

from ansible.module_utils.host import files as host_files
from ansible.module_utils.host.whole_file import replace, sync


def write_bytes(path, data, mode, owner=None):
    """Replaces a file at once, and has it on the disk before it returns."""
    replace(path, data, mode, owner)
    sync(os.path.dirname(path))


def put(path, was, copy, check_mode):
    """Has at a path what `was` says, with the content of `copy`; True when it was not so."""
    seen = host_files.look_at(path)
    if seen == was:
        return False
    if check_mode:
        return True
    if was.get("type") == "directory":
        os.makedirs(path, mode=0o755, exist_ok=True)
    elif was.get("type") == "link":
        _clear(path)
        os.symlink(was["target"], path)
        return True
    elif not was:
        _clear(path)
        return True
    elif seen.get("sha256") != was["sha256"]:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(copy, "rb") as stream:
            write_bytes(path, stream.read(), int(was["mode"], 8), (was["uid"], was["gid"]))
        return True
    os.chown(path, was["uid"], was["gid"])
    os.chmod(path, int(was["mode"], 8))
    return True


def _clear(path):
    if os.path.lexists(path) and not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)


def model_here(path, link, was, sha256):
    """The name, of a model file's two, under which it is as it was; "" for none. One that was only touched is, too."""
    names = [name for name in (path, link) if name and host_files.look_at_large(name).get("size") == was["size"]]
    untouched = [name for name in names if os.stat(name).st_mtime_ns == was["mtime_ns"]]
    return next(iter(untouched), "") or next((name for name in names if sha256 and _sha256(name) == sha256), "")


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
