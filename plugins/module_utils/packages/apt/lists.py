"""The lists of packages that apt has fetched: how old they are, and which repositories are newer than they."""

import glob
import os
import time

LISTS = "/var/lib/apt/lists"
STAMP = "/var/lib/apt/periodic/update-success-stamp"
SOURCES = "/etc/apt/sources.list.d"


def newer_sources(lists=LISTS, sources=SOURCES):
    """Files that name repositories and were written since lists were fetched."""
    paths = sorted(glob.glob(os.path.join(sources, "*.sources")) + glob.glob(os.path.join(sources, "*.list")))
    return [path for path in paths if os.path.getmtime(path) > fetched(lists)]


def age(lists=LISTS):
    """Seconds since the lists were fetched; infinite when there are none."""
    return time.time() - fetched(lists) if glob.glob(os.path.join(lists, "*Packages*")) else float("inf")


def fetched(lists):
    """When lists were fetched last; their own times are their server's."""
    places = (lists, os.path.join(lists, "partial"), STAMP)
    return max((os.path.getmtime(path) for path in places if os.path.exists(path)), default=0)
