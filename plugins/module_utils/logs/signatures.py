"""What lines of NGINX and of the kernel mean, and what to do; those of Deepgram's programs are in deepgram/signatures.py.

Sources: `nginx` is NGINX's own code (github:nginx/nginx: src/core/ngx_connection.c, src/event/ngx_event_accept.c,
src/event/ngx_event_connect.c, src/http/ngx_http_upstream.c, src/http/ngx_http_core_module.c, src/event/ngx_event_openssl.c);
`linux` is the kernel's (net/netfilter/nf_conntrack_core.c, mm/oom_kill.c); `nvidia` is docs.nvidia.com/deploy/xid-errors.
"""

import re

from ansible.module_utils.deepgram.signatures import READ, Signature, diagnose
from ansible.module_utils.nvidia.xids import XID, XIDS

NGINX = (
    Signature(
        "no room in NGINX", r"worker_connections are not enough|\(24: Too many open files\)",
        "NGINX has no room for more connections: a call takes two",
        "set nginx_proxy_worker_connections higher, then dgctl provision",
        "nginx", READ,
    ),
    Signature(
        "no server takes requests", r"no live upstreams while connecting to upstream",
        "no server behind this proxy takes requests, or each has as many as it may",
        "dgctl status shows which; dgctl doctor says why",
        "nginx", READ,
    ),
    Signature(
        "API not reached", r"connect\(\) failed \(111: Connection refused\) while connecting to upstream",
        "nothing listens on the API's port", "dgctl doctor; on that server: docker ps, docker logs deepgram-api",
        "nginx", READ,
    ),
    Signature(
        "API late", r"upstream timed out \(110: Connection timed out\)",
        "the API took a request and did not answer in time", "dgctl doctor: an Engine that hangs, or has more than it can do",
        "nginx", READ,
    ),
    Signature(
        "file too large", r"client intended to send too large body",
        "a caller's file is larger than NGINX takes", "set nginx_proxy_client_max_body_size higher, then dgctl provision",
        "nginx", READ,
    ),
    Signature(
        "key of another certificate", r"key values mismatch",
        "certificate and key do not belong together: NGINX does not start with them",
        "give nginx_proxy_tls_certificate and nginx_proxy_tls_key of one pair, then dgctl provision",
        "nginx", READ,
    ),
)  # fmt: skip
KERNEL = (
    Signature(
        "connections not tracked", r"nf_conntrack: table full, dropping packet",
        "the table of connections is full: the kernel drops new ones",
        "sysctl -w net.netfilter.nf_conntrack_max=N, four times what it is",
        "linux", READ,
    ),
    Signature(
        "out of memory", r"Out of memory: Killed process|oom-kill:",
        "the server's memory ran out, and the kernel ended a program", "see which one in the line; more memory, or fewer models",
        "linux", READ,
    ),
)  # fmt: skip


def explained(source, text):
    """{signature, meaning, fix} of a line; {} for one that nobody knows."""
    if source == "kernel":
        return of_xid(text) or named(KERNEL, text)
    if source == "nginx":
        return named(NGINX, text)
    reported = diagnose([text])
    return {"signature": reported.name, "meaning": reported.meaning, "fix": reported.remediation} if reported else {}


def of_xid(text):
    found = XID.search(text)
    if not found or int(found[2]) not in XIDS:
        return {}
    meaning, fix = XIDS[int(found[2])]
    return {"signature": f"Xid {found[2]}", "meaning": meaning, "fix": fix}


def named(table, text):
    for one in table:
        if re.search(one.pattern, text, re.IGNORECASE):
            return {"signature": one.name, "meaning": one.meaning, "fix": one.remediation}
    return {}
