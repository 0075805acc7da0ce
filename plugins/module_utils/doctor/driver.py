"""The doctor on the driver: its versions, the module for the next kernel, nouveau, Secure Boot, flavour, support."""

import glob
import platform
import re

from ansible.module_utils.boot import next_kernel, secure_boot
from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.nvidia import drivers as nvidia_drivers
from ansible.module_utils.nvidia import host as nvidia_host

MODULE_FILES = re.compile(r"(?:^|/)nvidia(?:-current)?\.ko(?:\.(?:xz|zst|gz))?(?::|$)")
OPEN_SOURCE_DRIVERS = ("nouveau", "nova_core")
REFUSED = (
    "Key was rejected",
    "Required key not available",
    "module verification failed",
    "Loading of unsigned module",
    "with unavailable key",
)
MISMATCH = "version mismatch"


def module(host):
    """{field: value} of the module file that modprobe would load; {} for none."""
    reported = host.reported("modinfo")
    if not reported or reported.status != 0:
        return {}
    pairs = [line.partition(":")[::2] for line in reported.text.splitlines() if not line[:1].isspace()]
    return {name.strip(): value.strip() for name, value in reversed(pairs)}


def library(host):
    """Version of the library beside the module; "" for none."""
    patterns = [host.path(pattern) for pattern in nvidia_host.LIBRARIES]
    return nvidia_host.library_version(patterns, lambda: host.programs.also("ldconfig", "ldconfig", "-p").text)


def is_open(host):
    """Is the module that is loaded, or else the one on the disk, of the open flavour? None when there is none."""
    loaded = host.read("/proc/driver/nvidia/version")
    if loaded:
        return "Open Kernel Module" in loaded
    licence = module(host).get("license")
    return None if licence is None else licence != "NVIDIA"


def unfit(host):
    """The GPUs that the flavour in use cannot drive; of one that no table has, nothing is said."""
    if is_open(host) is None:
        return []
    flavour, drivers = "open" if is_open(host) else "proprietary", host.drivers()
    known = [(gpu, drivers.rule(gpu["model"])["modules"]) for gpu in host.gpus() if gpu["model"]]
    return [gpu for gpu, modules in known if modules and flavour not in modules]


def versions(host):
    loaded, on_disk, beside = host.loaded(), module(host).get("version", ""), library(host)
    reported = host.reported("smi")
    seen = f"loaded {loaded or 'none'}, module file {on_disk or 'none'}, library {beside or 'none'}"
    if not (loaded or on_disk or beside):
        if not host.recorded("nvidia_driver"):
            return unknown("no NVIDIA driver is installed", "dgctl provision")
        return unhealthy(seen, "the driver that was installed here is missing")
    if not loaded:
        return unhealthy(seen, why_not_loaded(host))
    if len({loaded, on_disk, beside} - {""}) > 1 or not beside:
        return unhealthy(f"{seen}{evidence(host)}")
    if reported and MISMATCH in reported.text:
        return unhealthy(f"{seen}; nvidia-smi: {reported.text.strip().splitlines()[0]}{evidence(host)}")
    return healthy(seen)


def evidence(host):
    line = host.logged("NVRM: API mismatch")
    return f"; the kernel: {line}" if line else ""


def why_not_loaded(host):
    """What keeps the module out of the kernel, as far as it shows."""
    if any(host.exists("/sys/module/" + name) for name in OPEN_SOURCE_DRIVERS):
        return "another driver has the GPU: see nouveau"
    refused = host.logged(*REFUSED)
    if refused:
        return f"the kernel refuses the module ({refused}): see secure boot"
    if unfit(host):
        return "it is of the flavour that cannot drive this GPU: see module flavour"
    if not has_module(host, platform.release()):
        return "there is no module for the running kernel: see module for next kernel"
    return ""


def has_module(host, kernel):
    folder = f"/lib/modules/{kernel}"
    if any(MODULE_FILES.search(line.split(":")[0]) for line in host.read(folder + "/modules.dep").splitlines()):
        return True
    places = ("updates", "extra", "weak-updates", "kernel/drivers/video", "kernel/nvidia*")
    found = [
        path for place in places for path in glob.glob(host.path(f"{folder}/{place}/**/nvidia*.ko*"), recursive=True)
    ]
    return any(MODULE_FILES.search(path) for path in found)


def for_next_kernel(host):
    if not (module(host) or host.loaded() or host.recorded("nvidia_driver")):
        return unknown("no NVIDIA driver is installed")
    if not host.exists("/lib/modules"):  # seen 2026-11: virtual machines that are given kernel and driver from outside
        return unknown("this system has no /lib/modules: its kernel and its modules come from outside it")
    kernel = next_kernel.booting(host.path("/boot"))
    seen = f"{kernel}, " + ("the running one" if kernel == platform.release() else f"running is {platform.release()}")
    if has_module(host, kernel):
        return healthy(seen)
    headers = host.exists(f"/lib/modules/{kernel}/build")
    why = (
        "its headers are there, but DKMS built nothing"
        if headers
        else "its headers are not installed, so DKMS could not build"
    )
    build = f"dkms autoinstall -k {kernel}"
    install = host.packages().headers.format(kernel) + "; " if host.packages() else ""
    fix = f"dgctl provision; or on the server: {'' if headers else install}{build}; do not reboot before that"
    return unhealthy(
        f"{seen}: no nvidia module in /lib/modules/{kernel}", f"{why}: after the next boot there is no GPU", fix
    )


def nouveau(host):
    loaded = [name for name in OPEN_SOURCE_DRIVERS if host.exists("/sys/module/" + name)]
    bound = {gpu["address"]: host.link(f"/sys/bus/pci/devices/{gpu['address']}/driver") for gpu in host.gpus()}
    taken = [address for address, driver in bound.items() if driver in ("nouveau", "nova_core", "nova-core")]
    if taken:
        return unhealthy(f"{' and '.join(loaded) or 'nouveau'} has {listed(taken)}")
    if loaded and not host.loaded():
        return unhealthy(f"{' and '.join(loaded)} is loaded, nvidia is not")
    return healthy(f"{' and '.join(loaded)} loaded, without a GPU" if loaded else "not loaded")


def signature(host):
    """Would the kernel take the module, where it takes signed ones alone?"""
    mokutil = host.reported("secure_boot")
    status, text = (mokutil.status, mokutil.text) if mokutil else (None, "")
    if not secure_boot.on(status, text, host.path(secure_boot.VARIABLE)):
        return healthy("off")
    on_disk = module(host)
    refused = host.logged(*REFUSED)
    if not on_disk:
        return healthy("on, no NVIDIA module installed")
    signer = on_disk.get("signer", "")
    if host.loaded() and host.loaded() == on_disk.get("version"):
        return healthy(f"on, and the kernel took the module (signer: {signer or 'none'})")
    enrolled = host.reported("enrolled")
    listed, keyrings = enrolled.text if enrolled else "", host.read(secure_boot.KEYRINGS)
    known = secure_boot.believed(signer, listed, keyrings, on_disk.get("sig_key", ""))
    if known and not refused:
        return healthy(f"on, the module's signer is enrolled: {signer}")
    if not signer or refused or (enrolled and enrolled.status == 0):
        seen = f"on; signer of the module: {signer or 'none'}, {'' if known else 'not '}enrolled"
        seen += f"; the kernel: {refused}" if refused else ""
        return unhealthy(seen, fix=f"{secure_boot.ways_out(secure_boot.dkms_key(host.exists))}; then dgctl provision")
    return unknown(f"on; whether {signer} is enrolled cannot be seen (mokutil)")


def flavour(host):
    if is_open(host) is None:
        return unknown("no NVIDIA module is installed")
    has = "open" if is_open(host) else "proprietary"
    wrong = unfit(host)
    if not wrong:
        return healthy(has)
    seen = f"{has} module, {listed(sorted({gpu['model']['name'] for gpu in wrong}))}"
    line = host.logged("RmInitAdapter failed", "rm_init_adapter failed")
    seen += f"; the kernel: {line}" if line else ""
    models = [gpu["model"] for gpu in host.gpus() if gpu["model"]]
    cause = "; ".join(host.drivers().needs([gpu["model"] for gpu in wrong]))
    return unhealthy(seen, cause, fitting(host, version_of(host).partition(".")[0], models))


def fitting(host, branch, models):
    """What to set so that a driver drives all of these GPUs, and whether there is one."""
    flavours = host.drivers().flavours(branch, models)
    near = (branch, flavours[0]) if flavours else host.drivers().nearest(branch, nvidia_drivers.AUTO, models)
    if near is None:
        return "no driver drives all of these GPUs: take one kind of them out of the host"
    settings = [f'nvidia_driver_branch: "{near[0]}"'] if near[0] != branch else []
    return f"set {' and '.join([*settings, f'nvidia_driver_kernel_module: {near[1]} (or auto)'])}, then dgctl provision"


def version_of(host):
    """The driver's version: of the module in the kernel, else of the one on the disk."""
    return host.loaded() or module(host).get("version", "")


def support(host):
    """Only reported: a branch past its end still works, and where a distribution ships it, that keeps it."""
    branch = version_of(host).partition(".")[0]
    if not branch:
        return unknown("no NVIDIA driver is installed")
    reported = host.drivers().described(branch)
    if not host.drivers().ended(branch) or host.params.get("driver_source", "nvidia") != "nvidia":
        return healthy(f"branch {reported}")
    lasting = {
        one: row["ends"]
        for one, row in host.table("branches").items()
        if row.get("ends") and not host.drivers().ended(one)
    }
    newer = ", ".join(f"{one} to {end}" for one, end in sorted(lasting.items()))
    return unknown(
        f"branch {reported}", f"set nvidia_driver_branch to one that is supported ({newer}), then dgctl provision"
    )


CHECKS = (
    Check(
        "driver versions", versions,
        "module in the kernel, module file, library beside it, and whether nvidia-smi can speak to the module",
        "one version",
        "the packages were changed while the older module stayed loaded",
        "dgctl provision (it reloads the module; where something keeps it busy, reboot the server)",
        True, ("driver.loaded", "driver.loaded_is_installed", "driver.tools_match"),
        stands_on=("nouveau", "secure boot", "module flavour", "package versions", "driver leftovers", "driver sources"),
    ),
    Check(
        "module for next kernel", for_next_kernel,
        "the kernel that the boot loader's first entry, or else the newest in /boot, names, and its nvidia module",
        "an nvidia module for it",
        "a kernel came without a module for it",
        "dgctl provision (it has the module built)",
        True,
        stands_on=("package state",),
    ),
    Check(
        "nouveau", nouveau,
        "the modules nouveau and nova_core, and which driver each GPU is bound to",
        "not loaded",
        "the kernel's own driver took the GPU before NVIDIA's",
        "dgctl provision (it keeps nouveau from loading, unloads it and loads nvidia); or: modprobe -r nouveau nova_core; "
        "modprobe nvidia",
        True, ("driver.nouveau_absent",),
        stands_on=("gpu count",),
    ),
    Check(
        "secure boot", signature,
        "Secure Boot (mokutil, or the firmware's variable), the module's signer, the enrolled keys, the kernel's log",
        "off, or the module's signer enrolled",
        "Secure Boot loads modules of enrolled signers alone",
        "enrol the key that DKMS signs with: mokutil --import /var/lib/dkms/mok.pub, reboot, confirm it at the console; or "
        "switch Secure Boot off",
        stands_on=(),
    ),
    Check(
        "module flavour", flavour,
        "open or proprietary module, against the generation of each GPU by its PCI id",
        "a flavour that drives every GPU",
        "this flavour does not know the GPU's generation: before Turing proprietary alone, from Blackwell on open alone",
        "set nvidia_driver_kernel_module: auto, then dgctl provision; where no branch drives all GPUs, take one kind of them out",
        True,
        stands_on=("gpu count",),
    ),
    Check(
        "driver support", support,
        "the driver's branch in the table of NVIDIA's ends of support; only reported, never a failure",
        "a branch that still gets corrections",
        "NVIDIA corrects the branch no more, not even its security faults",
        "set nvidia_driver_branch to a supported one, then dgctl provision",
        stands_on=(),
    ),
)  # fmt: skip
