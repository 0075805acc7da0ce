"""The doctor: every check of a host in one pass, all programs asked at once. Changes nothing.

Runs as the module host_doctor, and from `dgctl verify` sent to the host as source: only the standard library is imported.
"""

import json

from ansible.module_utils.boot import secure_boot
from ansible.module_utils.doctor import containers as doctor_containers
from ansible.module_utils.doctor import deep as doctor_deep
from ansible.module_utils.doctor import dpkg as doctor_dpkg
from ansible.module_utils.doctor import driver as doctor_driver
from ansible.module_utils.doctor import fabric as doctor_fabric
from ansible.module_utils.doctor import gpu_health as doctor_gpu_health
from ansible.module_utils.doctor import gpus as doctor_gpus
from ansible.module_utils.doctor import host as doctor_host
from ansible.module_utils.doctor import log as doctor_log
from ansible.module_utils.doctor import machine as doctor_machine
from ansible.module_utils.doctor import packages as doctor_packages
from ansible.module_utils.doctor import rpm as doctor_rpm
from ansible.module_utils.doctor import rpm_sources as doctor_rpm_sources
from ansible.module_utils.doctor import smi as doctor_smi
from ansible.module_utils.doctor import sources as doctor_sources
from ansible.module_utils.doctor import toolkit as doctor_toolkit
from ansible.module_utils.doctor.causes import fold
from ansible.module_utils.doctor.check import judge
from ansible.module_utils.doctor.engine import ENGINES
from ansible.module_utils.doctor.service import api as service_api
from ansible.module_utils.doctor.service import callers as service_callers
from ansible.module_utils.doctor.service import certificate as service_certificate
from ansible.module_utils.doctor.service import configuration as service_configuration
from ansible.module_utils.doctor.service import engine as service_engine
from ansible.module_utils.doctor.service import licence as service_licence
from ansible.module_utils.doctor.service import models as service_models
from ansible.module_utils.doctor.service import nginx as service_nginx
from ansible.module_utils.doctor.service import uploads as service_uploads
from ansible.module_utils.doctor.service import upstreams as service_upstreams
from ansible.module_utils.doctor.system import files as system_files
from ansible.module_utils.doctor.system import kernel as system_kernel
from ansible.module_utils.doctor.system import network as system_network
from ansible.module_utils.doctor.system import units as system_units
from ansible.module_utils.host.outcome import finding
from ansible.module_utils.host.parallel import in_parallel
from ansible.module_utils.host.units import show
from ansible.module_utils.nvidia import cdi_refresh
from ansible.module_utils.packages import families
from ansible.module_utils.packages.rpm import query as rpm_query

# From the ground up: the first that fails is the likeliest cause of those after it.
TOPICS = (
    doctor_machine.CHECKS,
    system_files.CHECKS,
    system_units.CHECKS,
    system_kernel.CHECKS,
    system_network.CHECKS,
    doctor_packages.CHECKS,
    doctor_sources.CHECKS,
    doctor_driver.CHECKS,
    doctor_gpus.CHECKS,
    doctor_gpu_health.CHECKS,
    doctor_fabric.CHECKS,
    doctor_log.CHECKS,
    doctor_toolkit.CHECKS,
    doctor_containers.CHECKS,
    service_models.CHECKS,
    service_configuration.CHECKS,
    service_engine.CHECKS,
    service_licence.CHECKS,
    service_api.CHECKS,
    service_upstreams.CHECKS,
    service_certificate.CHECKS,
    service_uploads.CHECKS,
    service_nginx.CHECKS,
    service_callers.CHECKS,
)
CHECKS = tuple(check for topic in TOPICS for check in topic)
DEEP = (doctor_deep.CHECK, service_models.CHECKSUMS)  # made only where the parameter `deep` asks for it
GRAPH = {check.name: check.stands_on for check in (*CHECKS, *DEEP)}
LIMIT_S = 45  # beyond every program's own limit
MARK = "doctor: "
UNITS = ("docker.service", *cdi_refresh.UNITS, "nvidia-fabricmanager.service")
PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "Result")


def commands(params):
    """{name: command} of the programs that tell about a host; those on GPUs only where an Engine runs."""
    packages = OF_PACKAGES[families.here().name](params["gpu"])
    gpu = {
        "smi": doctor_smi.query(),
        "modinfo": ("modinfo", "nvidia"),
        "log": ("dmesg",),
        "secure_boot": secure_boot.STATE,
        "enrolled": secure_boot.ENROLLED,
        "units": show(UNITS, *PROPERTIES),
    }
    return {
        **(gpu if params["gpu"] else {}),
        **packages,
        **service_callers.commands(),
        **ENGINES[params["engine"]].commands(params["gpu"]),
    }


def of_apt(gpu):
    policy = {"apt_policy": doctor_sources.POLICY} if gpu else {}
    return {"apt_check": doctor_dpkg.CHECK, "apt_config": doctor_dpkg.CONFIGURATION, **policy}


def of_rpm(gpu):
    offers = {"dnf_offers": doctor_rpm_sources.OFFERS} if gpu else {}
    return {"rpm": rpm_query.QUERY, "rpm_check": doctor_rpm.CHECK, **offers}


OF_PACKAGES = {"apt": of_apt, "dnf": of_rpm}


def seen(params):
    """The host that is here."""
    programs = doctor_host.Programs(commands(params))
    host = doctor_host.Host(params, programs, ENGINES[params["engine"]](programs))
    host.manager = doctor_packages.manager(host)
    return host


def examine(host):
    """The findings of every check that concerns the host, in the order of CHECKS, at the end those of DEEP; see causes.fold."""
    topics = [[check for check in topic if concerns(check, host.params["gpu"])] for topic in TOPICS]
    calls = [lambda topic=topic: [judge(check, host) for check in topic] for topic in topics]
    limit = LIMIT_S
    if host.params.get("deep") and host.params["gpu"]:
        topics = [*topics, *((check,) for check in DEEP)]
        calls += [lambda: doctor_deep.findings(host), lambda: [judge(service_models.CHECKSUMS, host)]]
        limit = max(doctor_deep.LIMIT_S, service_models.LIMIT_S)

    def late(index):
        text = f"no answer in {limit} s"
        return [finding(check.name, None, text, check.expected) for check in topics[index]]

    return fold([found for findings in in_parallel(calls, limit, late) for found in findings], GRAPH)


def concerns(check, gpu):
    return gpu or not check.gpu


def main(text):
    """Carries out a request in JSON; prints one line that is found again in whatever a login shell says."""
    print(MARK + json.dumps(examine(seen(json.loads(text)))))
