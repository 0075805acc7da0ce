"""The doctor on NGINX itself: does it run, with what its files say, and has it room for more connections."""

import re
import time

from ansible.module_utils.doctor.check import Check, healthy, listed, one_line, unhealthy, unknown
from ansible.module_utils.doctor.service.engine import LIMIT, files, places

UNIT = "nginx.service"
RELOAD = "nginx -t && systemctl reload nginx"
NODES = "/etc/nginx/deepgram/upstreams.json"
SITE = "/etc/nginx/conf.d/deepgram.conf"
LOGS = ("/var/log/nginx/deepgram.error.log", "/var/log/nginx/error.log")
# Words of NGINX's own (src/core/ngx_connection.c, src/event/ngx_event_accept.c).
EXHAUSTED = re.compile(r"worker_connections are not enough|\(24: Too many open files\)")
LEAVING = "is shutting down"  # src/os/unix/ngx_process_cycle.c
MOMENT = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d")
RECENT_S, TAIL, FULL = 600, 1 << 16, 0.95
CONNECTIONS = re.compile(r"^\s*worker_connections\s+(\d+)\s*;", re.MULTILINE)
RLIMIT = re.compile(r"^\s*worker_rlimit_nofile\s+(\d+)\s*;", re.MULTILINE)
OPEN_FILES = re.compile(r"^Max open files\s+(\d+)", re.MULTILINE)
UPSTREAM = re.compile(r"upstream\s+deepgram_\w+\s*{([^}]*)}")
MEMBER = re.compile(r"^\s*server\s+(\S+?)((?:\s[^;]*)?);\s*(?:#\s*(\S+))?", re.MULTILINE)


def here(host):
    return bool(host.recorded("nginx_proxy"))


def runs(host):
    if not here(host):
        return unknown("no proxy is on record here")
    unit = host.unit(UNIT)
    if not unit:
        return unknown("systemd does not say")
    if "masked" in (unit.get("LoadState"), unit.get("UnitFileState")):
        return unhealthy("nginx is masked", "somebody masked the unit: it starts neither by hand nor at boot",
                         "on the server: systemctl unmask nginx && systemctl enable --now nginx")  # fmt: skip
    state = unit.get("ActiveState", "")
    if state in ("active", "reloading"):
        return healthy(state)
    reported = host.reported("nginx")
    refused = [line for line in reported.text.splitlines() if "[emerg]" in line] if reported and reported.status else []
    return unhealthy(f"nginx is {state or 'not there'}", one_line(refused[0]) if refused else "")


def main_pid(host):
    pid = host.unit(UNIT).get("MainPID", "0")
    return pid if pid != "0" and here(host) else ""


def fresh(host):
    pid, reads = main_pid(host), host.recorded("nginx_proxy").get("read_at_reload") or {}
    since = host.reloaded(pid) if pid else None
    if not since:
        return unknown("nginx does not run: see nginx")
    newer = [path for path in reads.get(UNIT, ()) if (host.modified(path) or 0) > since + 1]
    if not newer:
        return healthy("its workers are newer than its files")
    return unhealthy(f"its workers are older than {listed(newer)}")


def room(host):
    pid = main_pid(host)
    children = host.read(f"/proc/{pid}/task/{pid}/children").split() if pid else []
    # One of before a reload ends with its last stream, and takes no new connection.
    workers = [one for one in children if LEAVING not in host.read(f"/proc/{one}/cmdline")]
    if not workers:
        return unknown("nginx does not run: see nginx")
    reported = host.reported("nginx")
    text = reported.text if reported and reported.status == 0 else ""
    share, seen = max(use(host, worker, text) for worker in workers)
    recent = exhausted(host, pid)
    if share < FULL and not recent:
        return healthy(seen)
    return unhealthy(
        one_line(recent) if recent else seen, fix=wider(text, min(open_files(host, one) for one in workers))
    )


def use(host, worker, text):
    """(share of what a worker may open that it has open, a text that says it)."""
    bounds = [open_files(host, worker), written(CONNECTIONS, text)]
    used, most = len(host.glob(f"/proc/{worker}/fd/*")), min(filter(None, bounds), default=0)
    return (used / most if most else 0.0), f"{used} of {most} connections and files in the fullest worker"


def open_files(host, worker):
    """How many files a worker may open; 0 where that is not known."""
    return int((OPEN_FILES.search(host.read(f"/proc/{worker}/limits")) or (0, 0))[1])


def written(directive, text):
    """The number of a directive in NGINX's configuration; 0 where it has none."""
    return int((directive.search(text) or (0, 0))[1])


def wider(text, files):
    """The fix: another limit for its files, where the workers have less than the configuration gives them; else more room."""
    given, now = written(RLIMIT, text), written(CONNECTIONS, text)
    if files < given:
        return f"on the server: {RELOAD} (its workers may open {files} files, and worker_rlimit_nofile is {given})"
    return f"set nginx_proxy_worker_connections higher{f' (now {now})' if now else ''}, then dgctl provision"


def exhausted(host, pid):
    """The last line of the last minutes in which NGINX says that it has no room; "" for none since its workers started."""
    since = max(host.started - RECENT_S, host.reloaded(pid) or 0)
    for path in LOGS:
        for line in reversed(tail(host.path(path))):
            when = MOMENT.match(line)
            if when and time.mktime(time.strptime(when[0], "%Y/%m/%d %H:%M:%S")) < since:
                break
            if when and EXHAUSTED.search(line):
                return line
    return ""


def tail(path):
    """The last lines of a file."""
    try:
        with open(path, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL))
            return stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def cap(host):
    reported = host.reported("nginx")
    if not here(host) or not reported or reported.status != 0:
        return unknown("NGINX's configuration cannot be read")
    blocks = UPSTREAM.findall(reported.text)
    members = [(name or address, words) for block in blocks for address, words, name in MEMBER.findall(block)
               if not re.search(r"\bdown\b", words)]  # fmt: skip
    loose = [name for name, words in members if not re.search(r"\bmax_conns=[1-9]", words)]
    bound = expected_caps(host)
    wrong = sorted({name for name in loose if bound.get(name, bound.get("", 0))})
    if not wrong:
        return healthy("as the Engines' limits have it") if members else unknown("no upstream of ours is in it")
    if edited(host) or "" not in bound:
        return unhealthy(f"no max_conns for {listed(wrong)}")
    return unknown(f"no max_conns for {listed(wrong)}, as the role wrote it", "set nginx_proxy_max_connections: auto")


def expected_caps(host):
    """{server: its cap}; under "" the smallest limit of this server's own Engines, where NGINX serves these alone."""
    nodes = (host.json(NODES) or {}).get("nodes")
    if isinstance(nodes, list):
        return {node.get("name"): int(node.get("max_connections") or 0) for node in nodes}
    own = [dict(places(host.read(file), LIMIT)).get("", "0").replace("_", "") for file in files(host)]
    return {"": min(int(limit) if limit.isdecimal() else 0 for limit in own)}


def edited(host):
    """Whether the site is another one than the role wrote."""
    was = (host.recorded("nginx_proxy").get("files") or {}).get(SITE)
    return bool(was) and host.look_at(SITE).get("sha256") != was.get("sha256")


CHECKS = (
    Check(
        "nginx", runs,
        "the unit nginx.service",
        "active, not masked",
        "it was stopped, or could not start",
        "on the server: systemctl enable --now nginx; where that fails: nginx -t, journalctl -u nginx -n 20",
        True, ("tls.running",), False,
        stands_on=("files:/etc/nginx/", "certificate", "certificate key", "disk"),
    ),
    Check(
        "nginx reloaded", fresh,
        "when NGINX's workers started, against when the files that they read were written",
        "workers newer than the files",
        "the files were changed, and nobody reloaded NGINX",
        f"on the server: {RELOAD}",
        True, (), False,
        stands_on=("nginx", "files:/etc/nginx/", "certificate key"),
    ),
    Check(
        "nginx room", room,
        "connections and files that each worker has open, against worker_connections and its LimitNOFILE, and what its log says",
        f"below {FULL:.0%} of both",
        "more calls than NGINX was given room for: each takes two connections",
        "set nginx_proxy_worker_connections higher, then dgctl provision",
        False, (), False,
        stands_on=("nginx", "file handles", "files:/etc/nginx/"),
    ),
    Check(
        "proxy cap", cap,
        "max_conns of each server in NGINX's upstreams, where its Engine has a limit",
        "a cap for each server that has a limit",
        "the upstreams were edited: NGINX sends an Engine more than it takes, and callers get its refusals",
        "dgctl provision",
        True, (), False,
        stands_on=("files:/etc/nginx/", "nginx reloaded", "upstreams watched"),
    ),
)  # fmt: skip
