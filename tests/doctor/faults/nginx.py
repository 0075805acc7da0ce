"""NGINX: down, masked, not reloaded, without room, without a cap; and the servers behind it."""

import json
import time

from tests.doctor import service_patient
from tests.doctor.faults.table import fault
from tests.doctor.service_patient import MAIN, SITE, UPSTREAM

MEMBERS, NODES = "/run/deepgram-upstreams/members.json", "/etc/nginx/deepgram/upstreams.json"
# src/core/ngx_connection.c and src/event/ngx_event_accept.c, as NGINX's log has them.
NO_CONNECTIONS = (
    "[alert] 901#901: *88 8192 worker_connections are not enough while connecting to upstream, client: 192.0.2.9"
)
NO_FILES = "[crit] 901#901: accept4() failed (24: Too many open files)"
ERRORS = "/var/log/nginx/deepgram.error.log"
BUFFER, BUFFER_UNIT = "/var/lib/deepgram/uploads", "var-lib-deepgram-uploads.mount"


def down(patient, **state):
    patient.states["nginx.service"] = {"ActiveState": "inactive", "MainPID": "0", **state}
    patient.callers = []


@fault({"nginx": "systemctl enable --now nginx", "callers": "dgctl provision"})
def nginx_stopped(patient):
    down(patient)


@fault({"nginx": "systemctl unmask nginx", "callers": "dgctl provision"})
def nginx_masked(patient):
    down(patient, LoadState="masked", UnitFileState="masked")


@fault({"units": "systemctl enable nginx.service"})
def nginx_not_started_at_boot(patient):
    patient.states["nginx.service"] = {"UnitFileState": "disabled"}


@fault({"nginx reloaded": "nginx -t && systemctl reload nginx"})
def nginx_not_reloaded(patient):
    patient.reloaded = time.time() - 40 * 86400


@fault({"nginx room": "nginx_proxy_worker_connections higher (now 512)"})
def nginx_without_connections(patient):
    for number in range(500):
        (patient.root / f"proc/902/fd/{number}").touch()


@fault({"nginx room": "nginx_proxy_worker_connections"})
def nginx_without_files(patient):
    patient.write("/proc/901/limits", service_patient.LIMITS.format(12, 12))


@fault({"nginx room": "systemctl reload nginx"})
def nginx_workers_with_fewer_files_than_its_configuration(patient):
    patient.write("/proc/901/limits", service_patient.LIMITS.format(12, 12))
    patient.say("nginx", MAIN + "worker_rlimit_nofile 1024;\n")


def reported(patient, words, ago):
    moment = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(time.time() - ago))
    patient.write(ERRORS, f"2026/11/01 00:00:00 [notice] 1#1: x\n{moment} {words}\n")


@fault({"nginx room": "nginx_proxy_worker_connections"})
def nginx_says_that_connections_are_out(patient):
    reported(patient, NO_CONNECTIONS, 60)


@fault({"nginx room": "nginx_proxy_worker_connections"})
def nginx_says_that_files_are_out(patient):
    reported(patient, NO_FILES, 60)


def upstream(patient, text):
    patient.say("nginx", MAIN + f"# configuration file {SITE}:\n{text}")


@fault({"proxy cap": "dgctl provision", "files": "dgctl provision"})
def cap_removed(patient):
    patient.records["nginx_proxy"]["files"] = service_patient.recorded(patient, SITE)
    patient.write(SITE, UPSTREAM.replace(" max_conns=39", ""))
    upstream(patient, UPSTREAM.replace(" max_conns=39", ""))


def fleet(patient, members, **limits):
    """A proxy of other servers."""
    patient.proxy(members=MEMBERS)
    patient.write(MEMBERS, json.dumps({"members": members}))
    nodes = [{"name": name, "max_connections": limits.get(name, 39)} for name in members]
    patient.write(NODES, json.dumps({"nodes": nodes}))
    servers = "".join(
        f"    server 192.0.2.{n}:8080 max_conns=39 max_fails=0;  # {name}\n" for n, name in enumerate(members)
    )
    upstream(patient, f"upstream deepgram_stt {{\n    zone deepgram_stt 256k;\n{servers}}}\n")


def member(state="up", ago=0, **more):
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago))
    return {"state": state, "health": "Healthy", "known": True, "since": since if state == "drained" else None, **more}


@fault({"proxy cap": "dgctl provision"})
def cap_of_a_server_lost(patient):
    fleet(patient, {"gpu1": member(), "gpu2": member()})
    servers = "    server 192.0.2.1:8080 max_conns=39;  # gpu1\n    server 192.0.2.2:8080;  # gpu2\n"
    upstream(patient, f"upstream deepgram_stt {{\n{servers}}}\n")


@fault({"upstreams watched": "systemctl restart deepgram-upstreams.service"})
def nobody_watches_the_upstreams(patient):
    fleet(patient, {"gpu1": member()})
    patient.states["deepgram-upstreams.service"] = {"LoadState": "loaded", "ActiveState": "failed"}


@fault({"upstreams": "dgctl doctor --limit gpu2"})
def upstream_missing(patient):
    fleet(patient, {"gpu1": member(), "gpu2": member("down", health="no answer: timed out")})


@fault({"upstreams": "dgctl undrain gpu2"})
def upstream_drained_and_forgotten(patient):
    fleet(patient, {"gpu1": member(), "gpu2": member("drained", 8 * 86400, reason="operator", note="fan broken")})


@fault({"upstreams": "dgctl undrain gpu2"})
def upstream_that_a_run_left_drained(patient):
    fleet(patient, {"gpu1": member(), "gpu2": member("drained", 7 * 3600, reason="update")})


def buffered(patient, backing=f"{BUFFER}.img"):
    """Callers' files have a file system of their own, in this file."""
    patient.records["nginx_proxy"]["units"] |= {BUFFER_UNIT: ["active", "enabled"]}
    (patient.root / BUFFER[1:]).mkdir(parents=True)
    patient.write(
        "/proc/self/mountinfo", f"29 1 8:1 / / rw - ext4 /dev/sda1 rw\n40 29 7:3 / {BUFFER} rw - ext4 /dev/loop3 rw\n"
    )
    patient.write("/sys/dev/block/7:3/loop/backing_file", f"{backing}\n")


@fault({"upload buffer": "systemctl restart var-lib-deepgram-uploads.mount"})
def buffer_not_mounted(patient):
    buffered(patient)
    patient.write("/proc/self/mountinfo", "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n")


@fault({"upload buffer": "dgctl provision"})
def buffer_of_a_file_that_is_gone(patient):
    buffered(patient, f"{BUFFER}.img (deleted)")


@fault({"units": "systemctl enable var-lib-deepgram-uploads.mount"})
def buffer_not_mounted_at_boot(patient):
    buffered(patient)
    patient.states[BUFFER_UNIT] = {"UnitFileState": "disabled"}
