"""A file that holds a file system: whether it is there, and which one the kernel has mounted at a place."""

import os

from ansible.module_utils.host.files import read


def is_sized(image, size):
    """Whether the file that holds it is there, in this size (bytes)."""
    return os.path.isfile(image) and os.path.getsize(image) == size


def backing(place, root=""):
    """The file that the file system mounted at a place is in; "" where there is none. `root` stands before the kernel's files.

    Where the file was removed or replaced since, the kernel adds " (deleted)" to its name.
    """
    number = device(place, read(f"{root}/proc/self/mountinfo"))
    return read(f"{root}/sys/dev/block/{number}/loop/backing_file") if number else ""


def device(place, mountinfo):
    """MAJOR:MINOR of what is mounted last at a place (proc(5), mountinfo); "" for nothing."""
    found = [row for row in map(str.split, mountinfo.splitlines()) if len(row) > 4 and row[4] == place]
    return found[-1][2] if found else ""
