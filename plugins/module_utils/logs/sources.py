"""Where a server's programs say something: the commands that print it, and how a line of each is read.

A reader takes a line and returns (seconds since 1970, source, text), or None for a line that is nobody's.
"""

import json
import re
import time

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram.components import component

MOST = 5000  # lines of a source; of more the last
# What systemd starts for us, and what that stands on. journalctl takes patterns: with Podman each of several Engines is a unit.
UNITS = (
    *("deepgram.service", "deepgram-engine.service", "deepgram-api.service", "deepgram-license-proxy.service"),
    *("deepgram-billing.service",),
    *("deepgram-engine-*.service", "deepgram-api-*.service", "deepgram-watch.service", "deepgram-metrics.service"),
    *("deepgram-upstreams.service", "deepgram-firewall.service", "docker.service", "nginx.service"),
    *("nvidia-persistenced.service", "nvidia-fabricmanager.service", "nvidia-cdi-refresh.service"),
)
FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,UNIT"
NGINX_LOGS = ("/var/log/nginx/deepgram.error.log", "/var/log/nginx/error.log")
GPU_WORDS = re.compile(
    r"NVRM|Xid|nvidia|nouveau|nf_conntrack|Out of memory|oom-kill|I/O error|EXT4-fs error", re.IGNORECASE
)
NGINX_TIME = re.compile(r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (.*)", re.DOTALL)


def journal(since, follow, *matches):
    more = ("-f",) if follow else ()
    head = ("journalctl", "-q", "--no-pager", "-o", "json", f"--output-fields={FIELDS}", f"--since=@{int(since)}")
    return (*head, f"--lines={MOST}", *more, *matches)


def commands(since, follow, containers):
    """{name: (command, reader)} of every source; containers: names of Docker's."""
    found = {
        "journal": (journal(since, follow, *(word for unit in UNITS for word in ("-u", unit))), of_journal),
        "kernel": (journal(since, follow, "-k"), of_kernel),
    }
    for name in containers:
        more = ("--follow",) if follow else ()
        command = ("docker", "logs", "--timestamps", "--since", f"{since:.3f}", "--tail", str(MOST), *more, name)
        found[name] = (command, of_docker(name))
    for path in NGINX_LOGS:
        command = ("tail", "-n", str(MOST), *(("-F",) if follow else ()), path)
        found[path] = (command, of_nginx)
    return found


def of_journal(line):
    entry = _entry(line)
    if not entry:
        return None
    name = entry.get("SYSLOG_IDENTIFIER") or ""
    unit = str(entry.get("UNIT") or entry.get("_SYSTEMD_UNIT") or name).rpartition(".service")[0] or name
    # A container of Podman speaks under its own name, systemd and Podman about it under theirs.
    return entry["time"], component(name) or unit, entry["text"]


def of_kernel(line):
    entry = _entry(line)
    return (entry["time"], "kernel", entry["text"]) if entry and GPU_WORDS.search(entry["text"]) else None


def _entry(line):
    """An entry of the journal, with `time` and `text`; a text that is none stands there as numbers of its bytes."""
    try:
        found = json.loads(line)
        text = found["MESSAGE"]
        text = bytes(text).decode("utf-8", "replace") if isinstance(text, list) else str(text)
        return {**found, "time": int(found["__REALTIME_TIMESTAMP"]) / 1e6, "text": text}
    except (ValueError, KeyError, TypeError):
        return None


def of_docker(name):
    part = name.partition("-")[2]

    def read(line):
        when, _, text = line.partition(" ")
        try:
            return moment(when), part, text
        except ValueError:
            return None

    return read


def of_nginx(line):
    """NGINX writes the server's own time."""
    found = NGINX_TIME.match(line)
    if not found:
        return None
    return time.mktime(time.strptime(found[1], "%Y/%m/%d %H:%M:%S")), "nginx", found[2]
