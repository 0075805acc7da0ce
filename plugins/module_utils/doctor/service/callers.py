"""The doctor on the TLS proxy: are callers served by it, and if not, who takes their requests."""

import os

from ansible.module_utils.deepgram.components import kind
from ansible.module_utils.doctor.check import Check, healthy, listed, one_line, unhealthy, unknown
from ansible.module_utils.doctor.containers import parts
from ansible.module_utils.doctor.engine import Silent
from ansible.module_utils.host import files as host_files
from ansible.module_utils.proxy import serving as proxy_serving
from ansible.module_utils.proxy.nginx_servers import other_default, rival

CONFIG = "/etc/nginx/conf.d/deepgram.conf"
TEST = ("nginx", "-T")
RELOAD = "nginx -t && systemctl reload nginx"
TLS = "/etc/nginx/tls/"
OF_CERTIFICATE = ("certificate", "certificate key", f"files:{TLS}")


def commands():
    """NGINX's whole configuration, and whether it would start with it; nothing where there is no NGINX."""
    there = any(os.path.exists(f"{folder}/nginx") for folder in ("/usr/sbin", "/usr/local/sbin"))
    return {"nginx": TEST} if there else {}


class Around:
    """What `proxy.serving.unavailable` asks about the server."""

    def __init__(self, host):
        self.host, self.answer = host, host.answer

    def apis(self):
        return [f"deepgram-{part}" for part in parts(self.host) if kind(part) == "api"]

    def report(self, path):
        return host_files.read_json(self.host.path(path))

    def urls(self):
        return self.host.recorded("deepgram").get("answers") or []

    def started(self, name):
        part = name.replace("deepgram-", "")
        if part not in parts(self.host):
            return None
        container = self.host.engine.container(part)
        return 1 if container and container["running"] else 0  # since when is nobody's question here


def callers(host):
    tls = host.recorded("nginx_proxy").get("tls") or {}
    if not tls.get("paths"):
        return unknown("no proxy is on record here")
    reported = host.reported("nginx")
    if reported and reported.status not in (0, None):
        return refused(host, tls, reported.text)
    asked = host.serving(tls)
    if len(asked) < len(tls["paths"]):
        return unhealthy(f"port {tls['port']} does not show the certificate in {tls['certificate']}")
    try:
        wrong = list(faults(host, tls, asked))
    except Silent as silent:
        return unknown(str(silent))
    if not wrong:
        return healthy(listed(tls["paths"]))
    seen = listed(f"{path}: {what}" for path, _, what in wrong)
    kinds = {kind for _, kind, _ in wrong}
    other = rival(reported.text, CONFIG, tls["port"], tls["server_name"]) if reported else None
    if proxy_serving.FOREIGN in kinds and other:
        cause = f"the server block at {other.path}:{other.line} takes {tls['server_name']}:{tls['port']}"
        return unhealthy(seen, cause, taken(other, "give its server another server_name or port"))
    if proxy_serving.FOREIGN in kinds:
        cause = "another program has the port, or NGINX runs with files that are missing"
        return unhealthy(
            seen, cause, f"on the server: ss -ltnp 'sport = :{tls['port']}' says who; {RELOAD}; then dgctl provision"
        )
    if tls.get("members"):
        return unhealthy(seen, fix="dgctl undrain the servers that are drained; dgctl doctor for those that are down")
    return unhealthy(seen)


def faults(host, tls, asked):
    """(path, kind, what is wrong) of the paths on which callers are not served."""
    for path, status, wrong in asked:
        if status == proxy_serving.NOBODY:
            wrong = proxy_serving.unavailable(wrong, tls["paths"][path], Around(host), tls.get("members"))
        if wrong:
            yield path, status, wrong


def refused(host, tls, text):
    """NGINX serves with the configuration of before, and would not start with this one."""
    lines = [line for line in text.splitlines() if "[emerg]" in line] or text.splitlines() or ["no words"]
    other = other_default(host.path("/etc/nginx"), host.path(CONFIG), tls["port"])
    if "duplicate default server" in text and other:
        return unhealthy(one_line(lines[0]), f"{other.path}:{other.line} says to be the port's default server too",
                         taken(other, "remove its default_server"))  # fmt: skip
    return unhealthy(one_line(lines[0]), "NGINX refuses its configuration: it would not start again",
                     f"on the server: correct what it names; {RELOAD}; then dgctl provision",
                     stands_on=OF_CERTIFICATE if TLS in lines[0] else None)  # fmt: skip


def taken(other, way):
    return f"on the server: rm {other.path}, or {way}; {RELOAD}; then dgctl provision"


CHECKS = (
    Check(
        "callers", callers,
        "one request without content to a path of each profile, through the server's own NGINX; NGINX's whole configuration",
        "the API's answer",
        "NGINX does not reach the API",
        "dgctl provision; or on the server: systemctl status nginx, and tail /var/log/nginx/deepgram.access.log",
        True, (), False,
        stands_on=(
            *("api health", "containers", "clock", "nginx", "nginx reloaded", "nginx room", "certificate served"),
            *("upstreams", "files:/etc/nginx/", "firewalls"),
        ),
    ),
)  # fmt: skip
