"""NGINX on this server: the servers behind it, connections by server, and what its access log says of each request.

The log's form is `log_format deepgram` of the role nginx_proxy; /proc/net/tcp is proc(5).
"""

import json
import os
import re
import socket

import ask

ESTABLISHED = "01"
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
STATES = ("up", "down", "drained")
# ... "GET /v1/listen HTTP/1.1" 200 bytes=512 seconds=0.031 upstream=192.0.2.1:8080, 192.0.2.2:8080/502, 200 id=... caller="me"
# The caller stands there where the proxy asks callers who they are (nginx_proxy_callers); one that it refused is empty or "-".
# Before that, where what has no room here goes to another deployment (nginx_proxy_overflow_url), whether this did.
LINE = re.compile(
    r'" (\d{3}) bytes=\d+ seconds=([\d.]+) upstream=([^/]*)/(.*) id=\S*(?: overflow=(yes|no))?(?: caller="([^"]*)")?$'
)
ELSEWHERE = "deepgram_overflow"  # in place of an address: nothing was sent, by its cap or without an address
# Answers of another deployment in whose place a caller gets 503 (deepgram.conf.j2); others are told by their kind.
NO_ANSWERS = ("401", "402", "403", "404", "405", "408", "429", "500", "502", "503", "504")
NOBODY = "-"
MOST_CALLERS = (
    1000  # that are told apart; beyond it somebody writes names of his own, and nobody needs figures of these
)
SPLIT = re.compile(
    r"\s*[,:]\s+|\s*,\s*"
)  # nginx: addresses are joined by ", ", and by " : " after an internal redirect


def members(page, path, caps):
    """What deepgram-upstreams knows of the servers behind this proxy. caps: name -> requests at a time, 0 for no limit."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)["members"]
    except (OSError, ValueError, KeyError) as error:
        raise ask.Silent(f"{path}: {error}") from error
    for name, member in sorted(found.items()):
        for state in STATES:
            about = "Whether the proxy sends the server requests: 1 for the state that it has there"
            page.add("dgctl_proxy_member_state", about, member.get("state") == state, member=name, state=state)
        if member.get("state") == "drained":
            about = "Who drained the server: operator, rollout or failed"
            page.add("dgctl_proxy_member_drained", about, 1, member=name, reason=member.get("reason") or "unknown")
    for name, cap in sorted(caps.items()):
        about = "Requests at a time that this proxy sends the server"
        page.add("dgctl_proxy_member_limit", about, cap or None, member=name)


def behind(path, servers):
    """(name -> host:port, name -> requests at a time) of the servers behind this proxy: by the file of deepgram-upstreams,
    or, where this NGINX has only its own server and no such file, by `servers`.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            nodes = json.load(stream)["nodes"]
    except FileNotFoundError:
        return servers, {}
    except (OSError, ValueError, KeyError) as error:
        raise ask.Silent(f"{path}: {error}") from error
    limits = {node.get("id", node["name"]): int(node.get("max_connections") or 0) for node in nodes}
    return {node.get("id", node["name"]): node["address"] for node in nodes}, limits


def connections(page, port, addresses):
    """Established connections: of callers to NGINX's port, and to each server. addresses: name -> host:port.

    Those to a server are requests and up to 32 idle ones that NGINX keeps.
    """
    counts, callers = {}, 0
    for local, remote in established():
        callers += local[1] == port
        counts[remote] = counts.get(remote, 0) + 1
    page.add("dgctl_proxy_callers", "Connections of callers", callers)
    for name, address in sorted(addresses.items()):
        here = resolved(address)
        value = sum(counts.get(one, 0) for one in here) if here else None
        page.add(
            "dgctl_proxy_member_connections", "Connections to the server, idle ones among them", value, member=name
        )


def overflow(page, config, known):
    """The other deployment: how many requests at a time it may have, whether its address is known, and connections to it."""
    there = read_json(config).get("overflow")
    if not there:
        return
    address = read_json(known).get(there["address"])  # none while its name never resolved
    about = "Requests at a time that this proxy may send to the other deployment"
    page.add("dgctl_proxy_overflow_limit", about, int(there["max_connections"]))
    about = "Whether an address of the other deployment is known"
    page.add("dgctl_proxy_overflow_address_known", about, bool(address))
    here = resolved(address) if address else set()
    about = "Connections to the other deployment"
    page.add("dgctl_proxy_overflow_connections", about, sum(remote in here for _, remote in established()))


def read_json(path):
    """What a file of deepgram-upstreams holds; nothing where it has written none yet."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ask.Silent(f"{path}: {error}") from error


def established():
    """((local address, port), (remote address, port)) of each established TCP connection."""
    for path in TABLES:
        try:
            with open(path) as stream:
                lines = stream.readlines()[1:]
        except OSError:
            continue  # a kernel without IPv6
        for line in lines:
            words = line.split()
            if words[3] == ESTABLISHED:
                yield endpoint(words[1]), endpoint(words[2])


def endpoint(text):
    """(address, port) of `0100007F:1F90`: each 32 bits in the byte order of the machine."""
    digits, _, port = text.partition(":")
    data = b"".join(bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    if len(data) == 16 and data.startswith(bytes(10) + b"\xff\xff"):
        data = data[12:]  # an IPv4 address in IPv6
    return socket.inet_ntop(socket.AF_INET6 if len(data) == 16 else socket.AF_INET, data), int(port, 16)


def resolved(address):
    """The numeric (address, port) pairs of host:port; none while the name does not resolve."""
    host, _, port = address.rpartition(":")
    try:
        return {entry[4][:2] for entry in socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


class AccessLog:
    """Counts what NGINX logged since this program began, through rotations."""

    def __init__(self, path):
        self.path, self.stream, self.rest = path, None, ""
        self.statuses, self.answers, self.retries = {}, {}, 0
        self.requests, self.seconds = {}, {}  # by caller and status, by caller
        self.overflowed = {}  # by what became of it there

    def figures(self, page, addresses):
        """addresses: name -> host:port, for the names of servers. None where the log is not for this program to read."""
        if not self.read_on():
            return
        names = {f"{one[0]}:{one[1]}": name for name, address in addresses.items() for one in resolved(address)}
        for status, count in sorted(self.statuses.items()):
            page.add("dgctl_proxy_responses_total", "Answers to callers", count, metric_type="counter", status=status)
        for (server, status), count in sorted(self.answers.items()):
            about = "Answers of servers to the proxy, those that made it try another one among them"
            member = names.get(server.replace("[", "").replace("]", ""), server)
            page.add(
                "dgctl_proxy_member_responses_total", about, count, metric_type="counter", member=member, status=status
            )
        self.tell_callers(page)
        for answer, count in sorted(self.overflowed.items()):
            about = "Requests without room here, by the answer of the other deployment; full: its cap, or no address"
            page.add("dgctl_proxy_overflow_requests_total", about, count, metric_type="counter", answer=answer)
        about = "Requests that were tried on one more server"
        page.add("dgctl_proxy_retries_total", about, self.retries, metric_type="counter")

    def tell_callers(self, page):
        for (caller, status), count in sorted(self.requests.items()):
            about = "Requests by the name of the caller's key"
            page.add(
                "dgctl_proxy_caller_requests_total", about, count, metric_type="counter", caller=caller, status=status
            )
        for caller, seconds in sorted(self.seconds.items()):
            about = "Time that requests took, streams their whole length, by the name of the caller's key"
            page.add("dgctl_proxy_caller_seconds_total", about, seconds, metric_type="counter", caller=caller)

    def read_on(self):
        first = self.stream is None
        try:
            here = os.stat(self.path)
            if self.stream and os.fstat(self.stream.fileno()).st_ino != here.st_ino:
                self.take(self.stream.read())  # what came before it was put aside
                self.stream.close()
                self.stream = None
            if self.stream is None:
                self.stream = open(self.path, encoding="utf-8", errors="replace")  # noqa: SIM115 - stays open, to see it through a rotation
                self.stream.seek(0, os.SEEK_END if first else os.SEEK_SET)
            elif self.stream.tell() > here.st_size:
                self.stream.seek(0)  # copied and truncated
        except PermissionError:
            return False  # Enterprise Linux keeps it to NGINX
        except OSError as error:
            raise ask.Silent(f"{self.path}: {error.strerror}") from error
        self.take(self.stream.read())
        return True

    def take(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            match = LINE.search(line)
            if not match:
                continue
            status, seconds, tried, answered, elsewhere, caller = match.groups()
            kind = f"{status[0]}xx" if status not in ("429", "503") else status
            self.statuses[kind] = self.statuses.get(kind, 0) + 1
            if caller is not None:
                self.count(caller or NOBODY, kind, float(seconds))
            servers = [one for one in SPLIT.split(tried.strip()) if one not in ("", "-")]
            statuses = [one for one in SPLIT.split(answered.strip()) if one]
            if elsewhere == "yes" and servers and statuses:
                answer = outcome(servers.pop(), statuses.pop())
                self.overflowed[answer] = self.overflowed.get(answer, 0) + 1
            for pair in zip(servers, statuses):
                self.answers[pair] = self.answers.get(pair, 0) + 1
            self.retries += len(servers) > 1

    def count(self, caller, kind, seconds):
        if caller not in self.seconds and len(self.seconds) >= MOST_CALLERS:
            caller = "others"
        self.requests[caller, kind] = self.requests.get((caller, kind), 0) + 1
        self.seconds[caller] = round(self.seconds.get(caller, 0.0) + seconds, 3)


def outcome(address, status):
    """What became of a request to the other deployment: a kind of answers, a status that no caller gets, full or none."""
    if address == ELSEWHERE:
        return "full"
    if not status.isdigit():
        return "none"  # the caller hung up before
    return status if status in NO_ANSWERS else f"{status[0]}xx"
