"""The doctor on the way of a GPU into containers: CDI files, who refreshes them, and what Docker knows of all that."""

import json
import re

from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.driver import library
from ansible.module_utils.doctor.engine import Silent, numbers
from ansible.module_utils.nvidia import cdi_spec
from ansible.module_utils.nvidia import host as nvidia_host
from ansible.module_utils.nvidia.cdi_refresh import UNITS
from ansible.module_utils.nvidia.cdi_spec import dotted

FOLDERS = ("/etc/cdi", "/run/cdi")
REFRESHED = "/run/cdi/nvidia.yaml"
FULL = (0, 7, 0)  # for which engines must be new enough
DAEMON_JSON = "/etc/docker/daemon.json"
REFRESH = "dgctl provision; or on the server: systemctl restart nvidia-cdi-refresh.service"


def specifications(host):
    """{path: text} of the CDI files that hand out NVIDIA's GPUs."""
    paths = [path for folder in FOLDERS for path in host.glob(folder + "/*.yaml", folder + "/*.json")]
    texts = {path: host.read(path) for path in paths}
    return {path: text for path, text in texts.items() if cdi_spec.is_nvidia(text)}


def faults(host, path, text):
    """What is wrong with one specification, in words."""
    loaded, versions = host.loaded(), cdi_spec.drivers(text)
    found = []
    if loaded and versions and versions != [loaded]:
        found.append(f"{path} is for driver {' and '.join(versions)}, loaded is {loaded}")
    if not cdi_spec.has_cuda(text):
        found.append(f"{path} hands out no libcuda")
    uuids = cdi_spec.uuids(nvidia_host.gpu_information(host.path("/proc/driver/nvidia/gpus")))
    if not found and cdi_spec.wrong_uuids(text, uuids):
        found.append(f"{path} {cdi_spec.wrong_uuids(text, uuids)}")
    missing = [path for path in cdi_spec.host_paths(text) if not host.exists(path)]
    if missing and not found:
        found.append(f"{path} names {listed(missing, 2)}, which is not there")
    return found


def cdi(host):
    found = specifications(host)
    if not host.loaded():
        return unknown("no NVIDIA driver is loaded: see driver versions")
    if library(host) not in ("", host.loaded()):
        return unknown("the driver's versions differ: see driver versions")
    if not found:
        if not host.recorded("nvidia_container_toolkit") and not host.exists("/usr/bin/nvidia-ctk"):
            return unknown("the toolkit is not installed")
        cause = "it lies on a tmpfs, and nothing wrote it since the boot"
        return unhealthy("no specification in " + " or ".join(FOLDERS), cause, REFRESH)
    wrong = {path: faults(host, path, text) for path, text in found.items()}
    second = [path for path in found if path != REFRESHED]
    if any(wrong.values()):
        seen = "; ".join(fault for each in wrong.values() for fault in each)
        stale = [path for path in second if wrong[path]]
        if stale:
            return unhealthy(seen, "a file that nothing refreshes went stale when the driver changed", aside(stale))
        return unhealthy(
            seen, "the file was not rewritten after the driver changed, or was written while something lacked"
        )
    if len(found) > 1:
        cause = "two files hand out the same GPUs: the one that nothing refreshes goes stale with the next driver"
        return unhealthy(
            f"{listed(found)} are there", cause, aside([path for path in found if path != REFRESHED] or second)
        )
    return healthy(f"{next(iter(found))} for driver {host.loaded()}")


def aside(paths):
    return f"dgctl provision; or on the server: rm {' '.join(paths)}"


def since(host, what):
    """From which version on this engine does something, by the table; () where that is not known."""
    row = (host.table("cdi").get("engines") or {}).get(host.engine.cli, {})
    return numbers(row.get(what, ""))


def readable(host):
    """Can the engine read them?"""
    found = {path: cdi_spec.version(text) for path, text in specifications(host).items()}
    versions = {path: version for path, version in found.items() if version}
    if not versions:
        return unknown("no specification is there")
    for path, version in sorted(versions.items()):
        if version > cdi_spec.NEWEST:
            return unhealthy(
                f"{path} is of CDI version {dotted(version)}", "no engine reads that version", rewrite(path)
            )
    try:
        engine = host.engine.version()
    except Silent as silent:
        return unknown(str(silent))
    named = f"{host.engine.cli} {dotted(engine)}"
    for path, version in sorted(versions.items()):
        if engine and engine < since(host, "cdi_from"):
            cause = f"{host.engine.cli} knows CDI from {dotted(since(host, 'cdi_from'))} on"
            return unhealthy(f"{path} for {named}", cause, f"upgrade {host.engine.cli}")
        if version >= FULL and engine and engine < since(host, "full_cdi_from"):
            cause = f"{host.engine.cli} reads that version from {dotted(since(host, 'full_cdi_from'))} on"
            return unhealthy(f"{path} is of CDI version {dotted(version)}, {named}", cause)
    return healthy(f"{', '.join(sorted(map(dotted, set(versions.values()))))}, {named}")


def rewrite(path):
    return REFRESH if path == REFRESHED else aside([path])


def refresh(host):
    units = host.units()
    state = {unit: units.get(unit, {}) for unit in UNITS}
    if all(one.get("LoadState", "not-found") == "not-found" for one in state.values()):
        return unknown("this toolkit has no nvidia-cdi-refresh")
    service, path = state[UNITS[1]], state[UNITS[0]]
    if service.get("ActiveState") == "failed":
        return unhealthy(f"nvidia-cdi-refresh.service failed ({service.get('Result', '')})", "it ran before the driver answered, "
                         "or nvidia-ctk failed: journalctl -u nvidia-cdi-refresh.service says why")  # fmt: skip
    if path.get("ActiveState") != "active" or path.get("UnitFileState") != "enabled":
        seen = f"nvidia-cdi-refresh.path is {path.get('ActiveState')}, {path.get('UnitFileState')}"
        return unhealthy(seen, "nobody rewrites the CDI file when the driver changes", "dgctl provision; or on the server: "
                         "systemctl enable --now nvidia-cdi-refresh.path")  # fmt: skip
    return healthy("watches")


def daemon_settings(host):
    """(settings, why they cannot be read) of Docker's file; no file is no settings."""
    text = host.read(DAEMON_JSON)
    try:
        settings = json.loads(text) if text else {}
    except ValueError as error:
        return {}, str(error)
    return (settings, "") if isinstance(settings, dict) else ({}, "it holds no JSON object")


def daemon_json(host):
    if host.engine.cli != "docker":
        return healthy("not needed: Podman")
    _, why = daemon_settings(host)
    if not host.exists(DAEMON_JSON):
        return healthy("no file")
    if not why:
        return healthy("readable")
    line = re.search(r"line (\d+) column (\d+)", why)
    text = host.read(DAEMON_JSON).splitlines()
    place = int(line.group(1)) - 1 if line else -1
    cause = f"the fault is at or before: {text[place].strip()[:80]}" if 0 <= place < len(text) else ""
    backups = host.glob(DAEMON_JSON + ".*~", DAEMON_JSON + ".bak*")
    last = f"; the file as it was before a change of the roles': {backups[-1]}" if backups else ""
    return unhealthy(f"{DAEMON_JSON}: {why}", cause or "somebody edited it: Docker does not start with it",
                     f"on the server: correct {DAEMON_JSON} (python3 -m json.tool {DAEMON_JSON} shows the place){last}; then "
                     "systemctl restart docker, and dgctl provision")  # fmt: skip


def runtime(host):
    if host.engine.cli != "docker":
        return healthy("not needed: Podman")
    settings, why = daemon_settings(host)
    try:
        live, version = host.engine.settings(), host.engine.version()
    except Silent as silent:
        if why:
            return unknown("Docker does not answer: see daemon.json")
        if not (host.recorded("docker") or host.exists("/usr/bin/dockerd")):
            return unknown("Docker is not installed")
        state = host.units().get("docker.service", {}).get("ActiveState", "")
        return unhealthy(f"{silent}; docker.service is {state or 'not there'}", "the daemon does not run",
                         "on the server: journalctl -u docker -n 50; systemctl restart docker; or dgctl provision")  # fmt: skip
    written = set(settings.get("runtimes") or {})
    cdi_written = (settings.get("features") or {}).get(
        "cdi", bool(since(host, "unasked_from")) and version >= since(host, "unasked_from")
    )
    if why:  # what the file would say, its own check tells
        written, cdi_written = {"nvidia"}, True
    lacks, lost = lacking("nvidia" in live["runtimes"], live["cdi"]), lacking("nvidia" in written, cdi_written)
    if not host.recorded("nvidia_container_toolkit"):  # another way of handing out GPUs may be as good
        if not host.exists("/usr/bin/nvidia-ctk"):
            return unknown("the toolkit is not installed")
        lacks, lost = [name for name in lacks if name == "CDI"], [name for name in lost if name == "CDI"]
    if lacks and not lost:
        return unhealthy(f"Docker runs without {' and '.join(lacks)}", f"{DAEMON_JSON} has it; Docker was not restarted since",
                         "systemctl restart docker on the server; or dgctl provision")  # fmt: skip
    if lacks or lost:
        return unhealthy(f"{DAEMON_JSON} lacks {' and '.join(lost or lacks)}" + (", and so does Docker" if lacks else
                         "; Docker still has it, until its next start"))  # fmt: skip
    return healthy(f"nvidia runtime, CDI from {', '.join(live['cdi'])}" if "nvidia" in live["runtimes"] else "CDI")


def lacking(has_runtime, has_cdi):
    return ([] if has_runtime else ["the nvidia runtime"]) + ([] if has_cdi else ["CDI"])


CHECKS = (
    Check(
        "cdi specifications", cdi,
        "every CDI file for nvidia.com/gpu in /etc/cdi and /run/cdi: its driver's version, the files that it names, a second one",
        "one, for the loaded driver, with files that are there",
        "the file was not rewritten after the driver changed, or one that nothing refreshes lies beside it",
        REFRESH,
        True, ("cdi.driver_version", "cdi.only_one"),
        stands_on=("cdi refresh", "driver versions", "gpu answers"),
    ),
    Check(
        "cdi version", readable,
        "the version of each CDI file, against what the container engine reads",
        "one that the container engine reads",
        "the toolkit writes a newer form than an older engine knows",
        "dgctl provision (the role has the toolkit write the older form for older engines); or upgrade the engine",
        True,
        stands_on=("toolkit versions",),
    ),
    Check(
        "cdi refresh", refresh,
        "the units nvidia-cdi-refresh.path and .service",
        "enabled, and the last refresh succeeded",
        "the unit is off, or it ran before the driver answered",
        REFRESH,
        True, ("cdi.refreshed",),
        stands_on=("driver versions", "gpu answers", "toolkit versions", "units"),
    ),
    Check(
        "daemon.json", daemon_json,
        "whether /etc/docker/daemon.json is JSON, and where it is not",
        "a JSON object",
        "somebody edited it: Docker does not start with it",
        "on the server: correct it where the finding says, systemctl restart docker, then dgctl provision",
        False, (), False,
        stands_on=("disk",),
    ),
    Check(
        "docker runtime", runtime,
        "the nvidia runtime and CDI, in the running Docker and in its file",
        "the nvidia runtime and CDI",
        "something rewrote the file without what the roles had put there",
        "dgctl provision (it adds what lacks, keeps the rest, and restarts Docker)",
        True,
        stands_on=("daemon.json", "units", "files:/etc/docker/"),
    ),
)  # fmt: skip
