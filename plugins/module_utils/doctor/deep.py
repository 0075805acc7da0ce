"""The doctor's deep probe: what NVIDIA's own diagnosis (DCGM) says of the GPUs. It is made only where it is asked for."""

from ansible.module_utils.doctor.check import Check, healthy, judge, listed, one_line, unhealthy, unknown
from ansible.module_utils.doctor.gpu_health import RESET
from ansible.module_utils.nvidia import dcgm

LIMIT_S = dcgm.LIMIT_S + 3 * dcgm.PATIENCE_S  # beyond DCGM's own
INSTALL = "set nvidia_driver_dcgm: true, then dgctl provision"
AGAIN = "dcgmi diag -r 2 -v on the server says more, and loads the GPUs"
# What DCGM says where it cannot begin, because something else has it or the GPUs.
BUSY = ("already running", "resource is in use", "paused")
GRAPHICS, PERSISTENCE = 25, 29  # DCGM's numbers of faults that are none of a GPU's
# DCGM's categories of faults, and what is behind them.
CAUSES = {
    **{3: "a setting of this host is not what the driver needs", 4: "a library of the driver is missing or unfit"},
    **{9: "the GPU is too hot", 10: "the GPU's memory has errors", 11: "an NVLink of the GPU has errors"},
    **{12: "the NVSwitches of the board have errors", 13: "the GPU's PCIe link has errors", 14: "the GPU lacks power"},
}
ISOLATE, CONFIG, NEEDS_RESET = 2, 5, 6  # DCGM's severities that say what to do


def findings(host):
    """A finding for each test that a GPU does not pass; where there is none, one for the whole."""
    parts = {}
    for fault in bad(answer(host)):
        parts.setdefault(fault.test, []).append(fault)
    return [judge(of_test(*part), host) for part in parts.items()] or [judge(CHECK, host)]


def answer(host):
    """What DCGM says; None where there is nothing to ask it about."""
    asked = host.gpus() and host.loaded()
    return host.once("dcgm", dcgm.diagnose) if asked else None


def bad(reported):
    """The faults that no other check tells, and nobody else is the cause of."""
    return [fault for fault in (reported.faults if reported else ()) if fault.code not in (GRAPHICS, PERSISTENCE)]


def of_test(name, faults):
    """The check of one test that has failed."""
    seen = listed(where(fault) + one_line(fault.text, 200) for fault in faults)
    cause = next((CAUSES[fault.category] for fault in faults if fault.category in CAUSES), "")
    return CHECK._replace(name=f"dcgm: {name}", probe=lambda host: unhealthy(seen, cause, fix(faults)))


def where(fault):
    return "" if fault.gpu is None else f"GPU {fault.gpu}: "


def fix(faults):
    """What DCGM's severities ask for, the gravest first."""
    severities = {fault.severity for fault in faults}
    gpus = ",".join(sorted({str(fault.gpu) for fault in faults if fault.gpu is not None})) or "N"
    if ISOLATE in severities:
        return f"drain the server and take GPU {gpus} out of deepgram_gpu_devices: it is for its vendor; {AGAIN}"
    if NEEDS_RESET in severities:
        return RESET.format(gpus) + f"; if it comes back: {AGAIN}"
    if severities == {CONFIG}:
        return "do what DCGM says there; dgctl provision puts right what the roles have set"
    return ""


def diagnosis(host):
    """The whole, where no test has failed."""
    if not host.gpus():
        return unknown("no NVIDIA GPU on the bus")
    dcgmi = answer(host)
    if dcgmi is None:
        return unknown("no NVIDIA driver is loaded: see driver versions")
    if dcgmi.status == dcgm.NOT_INSTALLED:
        return unknown("DCGM is not installed", INSTALL)
    if any(word in dcgmi.reported for word in BUSY):
        return unknown(f"DCGM or a GPU is in use: {dcgmi.reported}", "ask again when that has ended")
    if dcgmi.reported:
        return unhealthy(f"no diagnosis: {dcgmi.reported}", "DCGM's host engine does not answer, or waits for a GPU",
                         "dgctl provision; or on the server: systemctl restart nvidia-dcgm")  # fmt: skip
    if any(fault.code == GRAPHICS for fault in dcgmi.faults):
        return unknown("a program draws on a GPU, and DCGM's tests may fail of that", "end it, then ask again")
    return healthy(f"{dcgmi.results} results, none failed")


CHECK = Check(
    "dcgm diagnosis", diagnosis,
    "NVIDIA's own diagnosis at its quickest level (dcgmi diag -r 1), a finding for each test that fails",
    "no test of DCGM's fails",
    "DCGM found something that no other check inspects",
    f"drain the server; {AGAIN}; a GPU that fails again is for its vendor",
    stands_on=("gpu answers", "driver versions"),
)  # fmt: skip
