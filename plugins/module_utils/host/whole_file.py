"""Files that are replaced whole or not at all."""

import os
import stat
import tempfile


def text_of(path):
    """A file's text; None when there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def is_so(path, content, mode, owner=None):
    """Is this a regular file of ours, or of the user with this number, with this text and mode?"""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    regular = stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == mode
    return regular and is_ours(status, owner) and text_of(path) == content


def is_ours(status, owner=None):
    """Does it belong to whom the module runs as, or to the user and group with this number?"""
    return (status.st_uid, status.st_gid) == ((owner, owner) if owner else (os.geteuid(), os.getegid()))


def settle_rights(path, mode, check_mode):
    """Has a file belong to whom the module runs as, with this mode; True when it was not so."""
    status = os.stat(path)
    if stat.S_IMODE(status.st_mode) == mode and is_ours(status):
        return False
    if not check_mode:
        os.chown(path, os.geteuid(), os.getegid())
        os.chmod(path, mode)
    return True


def write(path, content, mode, owner=None):
    """Replaces a file at once; makes its directory. owner: the number of its user and group."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    replace(path, content.encode("utf-8", "surrogateescape"), mode, (owner, owner) if owner else None)


def replace(path, data, mode, owner=None):
    """Replaces a file at once, its content on the disk before it has the name. owner: (uid, gid), else who runs this."""
    handle, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, mode)
            if owner:
                os.fchown(handle, *owner)
            stream.write(data)
            stream.flush()
            os.fsync(handle)
        os.replace(new, path)
    finally:
        if os.path.exists(new):
            os.unlink(new)


def sync(directory):
    """Makes renames in a directory last over a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
