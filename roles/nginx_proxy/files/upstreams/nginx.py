"""NGINX's processes: which there are, how they take their files, and how that breaks no request."""

import contextlib
import math
import os
import re
import signal
import subprocess
import time

import files

PID = "/run/nginx.pid"
PROC = "/proc"
RELOAD_S = 20
CLOSING_S = 6  # what the configuration says, by default; see closing()


def master():
    """The process id of NGINX's master; None when it does not run."""
    pid = (files.read(PID) or "").strip()
    return int(pid) if pid and "nginx: master" in title(pid) else None


def title(pid):
    try:
        return (files.read(f"{PROC}/{pid}/cmdline") or "").replace("\0", " ")
    except OSError:  # it ended while it was read
        return ""


def accepting(pid):
    """The workers that take new connections: those that are not shutting down."""
    children = (files.read(f"{PROC}/{pid}/task/{pid}/children") or "").split()
    titles = {child: title(child) for child in children}
    return {child for child, words in titles.items() if "worker process" in words and "shutting down" not in words}


def reload(pid):
    """Has NGINX take its files; returns when only new workers accept. Old ones finish what they have."""
    old = accepting(pid)
    os.kill(pid, signal.SIGHUP)
    end = time.monotonic() + RELOAD_S
    while time.monotonic() < end:
        now = accepting(pid)
        if now and not now & old:
            return
        time.sleep(0.02)
    raise files.Refused(
        "NGINX does not take its new configuration; see /var/log/nginx/error.log and `journalctl -u nginx`"
    )


def clients(port):
    """How many connections callers have with this port now."""
    tables = [files.read(f"{PROC}/net/{name}") or "" for name in ("tcp", "tcp6")]
    rows = [row.split() for table in tables for row in table.splitlines()[1:]]
    return sum(row[3] == "01" and int(row[1].rpartition(":")[2], 16) == port for row in rows)


@contextlib.contextmanager
def closing(config, most_s):
    """A reload closes the connections that NGINX keeps for a next request, at worst while one is on its way. So here, and
    for some seconds before, every answer ends its connection (the site looks for the file): who is busy has none left
    then, and who is not has no request on its way. Without callers there is nothing to wait for."""
    end = time.monotonic() + min(most_s, float(config.get("closing_s", CLOSING_S)))
    files.write(f"{files.RUN}/closing", "")
    try:
        while time.monotonic() < end and clients(int(config.get("port") or 443)):
            time.sleep(0.1)
        yield
    finally:
        keep_again()


def keep_again():
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{files.RUN}/closing")


def renew(pid, most_s=math.inf):
    """Has NGINX take its files without breaking a request."""
    with closing(files.configuration(), most_s):
        reload(pid)


def refusal():
    """What nginx says against its configuration; an empty string for nothing."""
    done = subprocess.run(["nginx", "-t", "-q"], capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else re.sub(r"\s+", " ", done.stderr.strip())[:400]
