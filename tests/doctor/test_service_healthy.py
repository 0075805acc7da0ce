"""The nearest healthy twin of each fault of the service and the system: no check fails."""

import os
import time

import pytest

from tests import log_forms
from tests.doctor import certificates, service_patient
from tests.doctor.faults import certificate, nginx, service, system
from tests.doctor.service_patient import ENGINE, ENGINE_TOML, METRICS, MODELS, SITE, STATUS, UPSTREAM

JUST_NOW = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 30))


def nginx_reloading(patient):
    patient.states["nginx.service"] = {"ActiveState": "reloading"}


def nginx_reloaded_after_an_edit(patient):
    os.utime(patient.root / SITE[1:], (time.time() - 60,) * 2)
    patient.reloaded = time.time() - 30


def busy_nginx(patient):
    for number in range(450):
        (patient.root / f"proc/902/fd/{number}").touch()


def nginx_that_was_full_yesterday(patient):
    nginx.reported(patient, nginx.NO_CONNECTIONS, 86400)


def nginx_that_was_full_before_its_reload(patient):
    nginx.reported(patient, nginx.NO_FILES, 300)
    patient.reloaded = time.time() - 30


def nginx_whose_old_worker_ends_with_its_last_stream(patient):
    nginx.nginx_workers_with_fewer_files_than_its_configuration(patient)
    patient.write("/proc/901/cmdline", "nginx: worker process is shutting down")


def engine_that_listens_after_it_has_ended_often(patient):
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 20))
    patient.container("engine", 4711, StartedAt=started)
    patient.engine.api["/containers/deepgram-engine/json"]["RestartCount"] = 4
    listens = log_forms.reported("full", "Listening on http://0.0.0.0:8080")
    patient.say("start_engine", service_patient.STARTED_LOG + listens)


def no_cap_where_the_engine_has_no_limit(patient):
    without = ENGINE.replace("max_active_requests = 40\n\n", "")
    patient.write(ENGINE_TOML, without)
    patient.write("/proc/4711/root/config/engine.toml", without)
    patient.records["deepgram"]["files"] = {}
    service.page(patient, limit=0)
    nginx.upstream(patient, UPSTREAM.replace(" max_conns=39", ""))


def no_cap_as_the_inventory_has_it(patient):
    """nginx_proxy_max_connections: 0."""
    nginx.upstream(patient, UPSTREAM.replace(" max_conns=39", ""))


def fleet_of_two(patient):
    nginx.fleet(patient, {"gpu1": nginx.member(), "gpu2": nginx.member()})


def fleet_with_a_server_that_is_drained_today(patient):
    nginx.fleet(patient, {"gpu1": nginx.member(), "gpu2": nginx.member("drained", 3600, reason="update")})


def fleet_with_a_server_that_a_person_drained_days_ago(patient):
    nginx.fleet(patient, {"gpu1": nginx.member(), "gpu2": nginx.member("drained", 3 * 86400, reason="operator")})


def fleet_with_a_mark_of_nobody(patient):
    nginx.fleet(
        patient, {"gpu1": nginx.member(), "old": nginx.member("drained", 90 * 86400, reason="update", known=False)}
    )


def certificate_of_fifteen_days(patient):
    certificate.own(patient, *certificates.made(days=15))


def certificate_for_a_wildcard(patient):
    patient.records["nginx_proxy"]["tls"]["server_name"] = "speech.example.net"
    certificate.own(patient, *certificates.made("*.example.net"))


def certificate_with_its_intermediate(patient):
    text, key = certificates.made(issuer="Intermediate", public=True)
    certificate.own(patient, text + certificates.authority("Intermediate", "Root"), key)


def certificate_of_a_private_root(patient):
    """Callers know the root; nothing here says that anything lacks."""
    certificate.own(patient, *certificates.made(issuer="Company root"))


def certificate_that_an_authority_renewed(patient):
    certificate.of_acme(patient, ordered={"names": ["gpu1"]}, error="", since=0)


def engine_that_loads_its_models(patient):
    patient.container("engine", 4711, StartedAt=JUST_NOW)
    patient.container("api", 4712, StartedAt=JUST_NOW)
    patient.pages[METRICS] = {"why": "does not answer: timed out"}
    patient.answers[f"{STATUS}/engine"] = {"status": 200, "body": {"engine_connection_status": "Disconnected"}}
    patient.api("Initializing")


def engine_at_its_limit(patient):
    service.page(patient, batch=0, stream=40)


def engine_without_its_first_lines(patient):
    """Docker rotated them away."""
    patient.say("start_engine", "")


def limit_with_a_comment_and_underscores(patient):
    text = ENGINE.replace("max_active_requests = 40", "max_active_requests = 4_0  # streams and files")
    patient.write(ENGINE_TOML, text)
    patient.write("/proc/4711/root/config/engine.toml", text)
    patient.records["deepgram"]["files"] = service_patient.recorded(patient, ENGINE_TOML)


def licence_server_that_was_late_once(patient):
    words = "Aegis request to https://license.deepgram.com failed: TimedOut"
    patient.say("recent_engine", log_forms.reported("full", words, "ERROR", "hermes::license"))


def license_proxy_that_nobody_asked_yet(patient):
    service.license_proxy(patient, {"state": "Ready"})


def model_copied_back(patient):
    """The same content with another time: only --deep could tell whether it is."""
    os.utime(patient.root / MODELS[1:] / "nova-3.en.batch.dg")


def model_refused_and_taken_away(patient):
    service.model_refused(patient)
    patient.records["deepgram_models"]["large_files"].pop(f"{MODELS}/nova-3.en.streaming.dg")


def unit_that_systemd_makes(patient):
    patient.states["deepgram.service"] = {"UnitFileState": "static"}


def many_connections(patient):
    patient.write("/proc/sys/net/netfilter/nf_conntrack_count", "240000\n")


def no_tracked_connections(patient):
    patient.remove("/proc/sys/net/netfilter")


def devices_for_a_group(patient):
    """As NVreg_DeviceFileMode asks for."""
    patient.write("/proc/driver/nvidia/params", "DeviceFileGID: 44\nDeviceFileMode: 432\n")
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        (patient.root / "dev" / name).chmod(0o660)


def second_resolver_dead(patient):
    patient.write("/etc/resolv.conf", "nameserver 192.0.2.53\nnameserver 192.0.2.1\n")


def resolver_dead_where_nobody_needs_it(patient):
    patient.dns = {}
    patient.write("/etc/hosts", "127.0.0.1 localhost\n192.0.2.7 license.deepgram.com\n")


def bridge_larger_than_a_way_out_that_works(patient):
    patient.write("/sys/class/net/eth0/mtu", "1450\n")


def devices_that_udev_sets(patient):
    patient.write("/proc/driver/nvidia/params", "ModifyDeviceFiles: 0\nDeviceFileMode: 438\n")
    (patient.root / "dev/nvidia0").chmod(0o660)


def jumbo_way_out(patient):
    patient.write("/sys/class/net/eth0/mtu", "9000\n")


def ufw_that_lets_callers_in(patient):
    system.ufw(patient, system.SSH_RULE + system.OURS_RULE)


def ufw_with_a_range(patient):
    system.ufw(patient, "### tuple ### allow tcp 400:500 0.0.0.0/0 any 0.0.0.0/0 Speech - in\n")


def ufw_that_is_off(patient):
    system.ufw(patient)
    patient.write("/etc/ufw/ufw.conf", system.UFW_OFF)


def ufw_that_lets_everybody_in(patient):
    system.ufw(patient, policy="ACCEPT")


def firewalld_with_the_port(patient):
    system.firewalld(patient)
    patient.say("firewalld", "yes\n")


def firewalld_with_the_service(patient):
    system.firewalld(patient)
    patient.say("firewalld", "no\n", 1)
    patient.say("firewalld_https", "yes\n")


def systemd_that_says_nothing(patient):
    patient.say("service_units", "", None, "systemctl: no answer in 8 s")


def without_openssl(patient):
    del patient.programs.later["openssl"]


TWINS = [
    found for found in list(globals().values()) if getattr(found, "__module__", "") == __name__ and callable(found)
]


@pytest.mark.parametrize("change", TWINS, ids=lambda change: change.__name__)
def test_is_called_healthy(patient, change):
    change(patient)
    assert patient.failing() == {}
    broken = {
        name: found["seen"] for name, found in patient.findings().items() if "cannot be inspected" in found["seen"]
    }
    assert broken == {}


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (no_cap_as_the_inventory_has_it, "proxy cap", "nginx_proxy_max_connections: auto"),
        (fleet_with_a_server_that_is_drained_today, "upstreams", "dgctl undrain gpu2"),
        (engine_at_its_limit, "engine load", "add a server"),
        (licence_server_that_was_late_once, "licence", "license.deepgram.com"),
        (model_copied_back, "models", "--deep"),
        (second_resolver_dead, "resolver", "/etc/resolv.conf"),
        (bridge_larger_than_a_way_out_that_works, "mtu", "docker_daemon_options: {mtu: 1450}"),
    ],
)
def test_is_told_all_the_same(patient, change, check, words):
    change(patient)
    found = patient.findings()[check]
    assert found["verdict"] == "skip" and words in found["fix"]
