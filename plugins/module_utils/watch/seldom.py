"""What the watchdog looks at seldom, with the doctor's own checks: GPUs, the kernel's log, disks, the certificate.

What the driver itself says of a GPU takes the node out: it does not answer, or asks for a reset. Everything else is told.
"""

import threading

from ansible.module_utils.doctor import gpu_health, gpus, log, machine
from ansible.module_utils.doctor import host as doctor_host
from ansible.module_utils.doctor import smi as doctor_smi
from ansible.module_utils.doctor.check import judge
from ansible.module_utils.doctor.engine import ENGINES
from ansible.module_utils.doctor.service import certificate
from ansible.module_utils.doctor.system import kernel
from ansible.module_utils.watch.decide import Finding

GRAVE = ("gpu answers", "gpu recovery")
NAMES = (
    *GRAVE, "gpu count", "gpu memory", "ecc errors", "gpu slowdown", "xid", "disk", "file handles", "conntrack", "certificate",
    "certificate served",
)  # fmt: skip
CHECKS = [
    check
    for topic in (gpus, gpu_health, log, machine, kernel, certificate)
    for check in topic.CHECKS
    if check.name in NAMES
]
REMEDY = "reboot"  # allowed by a variable alone


def failures(config):
    """The doctor's findings that fail now, with the fix that it names."""
    gpu = config["gpu"]
    programs = doctor_host.Programs({"smi": doctor_smi.query(), "log": ("dmesg",)} if gpu else {})
    params = {"host": config["host"], "engine": config["engine"], "gpu": gpu, "tables": {}}
    host = doctor_host.Host(params, programs, ENGINES[config["engine"]](programs))
    found = [judge(check, host) for check in CHECKS if gpu or not check.gpu]
    return [one for one in found if one["verdict"] == "fail"]


def grave(found):
    """What of it means that this node must not serve."""
    return [
        Finding(one["check"], f"{one['check']}: {one['seen']}", REMEDY, 1, True, False, one["fix"])
        for one in found
        if one["check"] in GRAVE
    ]


def warnings(found):
    """What is only told: one line each."""
    return [f"{one['check']}: {one['seen']}" for one in found if one["check"] not in GRAVE]


class Background:
    """Makes a slow question beside the rounds, again and again; `value` is what it last came to."""

    def __init__(self, function, interval_s, value):
        self.function, self.interval_s, self.value = function, interval_s, value
        self.thread, self.again = None, 0.0

    def turn(self, now):
        """Asks where it is time, and returns the last answer. An answer that never comes is waited for by nobody."""
        if self.interval_s and now >= self.again and not (self.thread and self.thread.is_alive()):
            self.again = now + self.interval_s
            self.thread = threading.Thread(target=self._ask, daemon=True)
            self.thread.start()
        return self.value

    def _ask(self):
        self.value = self.function()
