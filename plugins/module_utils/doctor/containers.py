"""The doctor on the Deepgram containers: do they run, and is the GPU with all that belongs to it inside the Engine's."""

import re

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram.components import KINDS, ROLES, component, folder, kind
from ansible.module_utils.deepgram.log import events
from ansible.module_utils.deepgram.signatures import HARMLESS, TABLE, diagnose
from ansible.module_utils.doctor.check import Check, healthy, listed, one_line, together, unhealthy, unknown
from ansible.module_utils.doctor.engine import Silent
from ansible.module_utils.doctor.smi import cards
from ansible.module_utils.doctor.toolkit import specifications
from ansible.module_utils.nvidia import cdi_spec

LISTENS = "Listening on http"  # dg_log_parser.sh of deepgram/self-hosted-resources
LOOPS, LOOP_S = 2, 60  # a container engine starts one that ends at once again, later each time
QUADLET = "/etc/containers/systemd/deepgram-{}.container"
UNREACHED = ("licence server has no address", "licence server unreachable", "license proxy unreachable")
# Words of a log that are about what another check inspects. All others are causes of their own.
EXPLAINED = {
    "no libcuda": ("libcuda in containers", "engine on gpu"),
    "no GPU": ("engine on gpu", "gpu in containers", "gpu answers"),
    **dict.fromkeys(UNREACHED, ("licence", "resolver", "conntrack", "clock", "mtu", "license proxy")),
    "key refused": ("licence",),
    "certificates expired": ("images",),
}
GPU = re.compile(r"UUID: (GPU-[0-9a-fA-F-]+)")
LIBRARIES = (
    *("/usr/lib/*-linux-gnu", "/lib/*-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/usr/local/lib"),
    *("/usr/local/nvidia/lib*", "/usr/local/cuda/compat", "/opt/*/lib"),
)


def recreate(host, part="engine"):
    """The command that recreates a container, on the server."""
    return host.engine.recreate.format(part=part, folder=folder(part))


def parts(host):
    """The parts that a role recorded here; of several Engines and APIs the component of each (engine-NAME, api-GROUP)."""
    found = []
    for role in ROLES:
        found += (host.recorded(role).get("containers") or {}).get("names", {})
    return sorted(filter(None, map(component, found)), key=lambda name: KINDS.index(kind(name)))


def of_kind(host, name):
    """The components of one kind, such as engine-a and engine-b; the kind itself where none is on record."""
    return [part for part in parts(host) if kind(part) == name] or [name]


def addresses(host, name, end):
    """Component -> the address at which it says how it is, as the role recorded them: both in the order of the containers."""
    names = (host.recorded("deepgram").get("containers") or {}).get("names", {})
    named = [part for part in map(component, names) if kind(part) == name]
    return dict(zip(named, [url for url in host.recorded("deepgram").get("answers") or [] if url.endswith(end)]))


def each(name, probe):
    """A probe of every Engine, or every API, of the host: `probe(host, component)`, reported by name where they are several."""

    def probed(host):
        return together([(part, probe(host, part)) for part in of_kind(host, name)])

    return probed


def running(host):
    recorded = parts(host)
    if not recorded:
        return unknown("no container is on record here")
    try:
        seen = {part: host.engine.container(part) for part in recorded}
    except Silent as silent:
        return unhealthy(
            str(silent), "the container engine does not answer", f"on the server: journalctl -u {host.engine.cli} -n 50"
        )
    down = {part: one for part, one in seen.items() if not (one and one["running"]) or loops(host, part, one)}
    if not down:
        return healthy(f"{listed(seen)}: running")
    return together([(part, stopped(host, part, one)) for part, one in down.items()])


def loops(host, part, one):
    """Whether a container that runs just now has ended again and again, and has not come as far as to listen this time."""
    young = one["restarts"] >= LOOPS and one["started"] and host.started - moment(one["started"]) < LOOP_S
    return young and not any(LISTENS in line for line in host.start_log(part))


def stopped(host, part, one):
    """A container that does not run, `one` as the container engine has it: its last words, and the way back."""
    status = f"ended {one['restarts']} times" if one and one["running"] else one["status"] if one else "is not there"
    words = f"deepgram-{part} {status}{ended(one)}"
    if (one or {}).get("status") == "paused":
        return unhealthy(words, "somebody paused it: it takes connections and answers nobody",
                         f"on the server: {host.engine.cli} unpause deepgram-{part}", stands_on=())  # fmt: skip
    signature = diagnose_log(host, part)
    cause = (one or {}).get("error", "") or (signature.meaning if signature else "")
    first_of_all = f"{signature.remediation}; " if signature else ""
    fix = f"{first_of_all}on the server: {logs(host, part)}; then dgctl provision"
    return unhealthy(words, cause, fix, stands_on=EXPLAINED.get(signature.name, ()) if signature else None)


def diagnose_log(host, part):
    """What the end of a container's log is known to mean, or None. Its lines themselves are not shown."""
    answer = host.programs.also(f"log_{part}", *host.engine.log(part))
    names = {signature.name for signature in TABLE} - HARMLESS
    return diagnose(events(answer.text), names) if answer.status == 0 else None


def logs(host, part):
    """The command that shows a container's last words, on the server."""
    if host.engine.cli == "docker":
        return f"docker logs --tail 50 deepgram-{part}"
    return f"journalctl -u deepgram-{part} -n 50"


def ended(one):
    return f" (exit {one['exit_code']})" if one and one["exit_code"] else ""


def of_engine(host, part):
    """(an Engine's container, None), or (None, why nothing can be said of what is in it)."""
    try:
        found = host.engine.container(part)
    except Silent as silent:
        return None, unknown(str(silent))
    found = found or defined(host, part)
    return (found, None) if found else (None, unknown(f"there is no container deepgram-{part}"))


def defined(host, part):
    """Podman's container is missing whenever it does not run: then what systemd would make it of; None without that."""
    text = host.read(QUADLET.format(part)) if host.engine.cli == "podman" else ""
    asks = re.search(r"^(AddDevice|PodmanArgs)=.*nvidia", text, re.MULTILINE)
    return {"running": False, "pid": 0, "status": "not there", "gpu": bool(asks)} if text else None


def alive(container):
    return bool(container["running"] and container["pid"])


def asleep(container, part):
    return f"deepgram-{part} is {container['status']}: see containers"


def devices(host, container):
    return host.glob(f"/proc/{container['pid']}/root/dev/nvidia[0-9]*")


def on_gpu(host, part):
    container, why = of_engine(host, part)
    if why:
        return why
    if not alive(container):
        if container["gpu"]:
            return unknown(f"{asleep(container, part)}; it was made with a GPU")
        if host.engine.cli == "podman":
            seen = f"{QUADLET.format(part)} asks for no GPU device, and deepgram-{part} is {container['status']}"
            return unhealthy(seen, fix="dgctl provision")
        return unhealthy(f"made without a GPU device, and {container['status']}", fix=recreate_fix(host, part))
    found = [path.rpartition("/")[2] for path in devices(host, container)]
    if found:
        return healthy(listed(found))
    if not host.exists(f"/proc/{container['pid']}/root/dev"):
        return unknown(f"deepgram-{part} has ended just now: see containers")
    return unhealthy("no GPU device in the container", fix=recreate_fix(host, part))


def recreate_fix(host, *those, first=""):
    """What recreates these components: a run, or by hand on the server."""
    return f"dgctl provision; or on the server: {first}{'; '.join(recreate(host, part) for part in those)}"


def inside(host, part):
    container, why = of_engine(host, part)
    if why:
        return why
    if not alive(container):
        return unknown(asleep(container, part))
    if not devices(host, container):
        return unknown("it has no GPU device: see engine on gpu")
    reported = host.engine.inside(part)
    if not cards(host)[0]:
        return unknown("no GPU answers on the host: see gpu answers")
    if reported is None or (
        reported.status is not None and re.search(r"not found|no such file", reported.text, re.IGNORECASE)
    ):
        return unknown("there is no nvidia-smi in the container")
    found = GPU.findall(reported.text)
    if reported.status == 0 and found:
        return healthy(f"{len(found)} of {len(cards(host)[0])} on the host")
    words = reported.why if reported.status is None else reported.text
    cause = (
        "the container lost the right to the device (a daemon-reload takes it from containers that got it without CDI)"
    )
    if "version mismatch" in words:
        cause = "the container holds files of an older driver"
    seen = f"nvidia-smi in deepgram-{part}: {one_line(words) or 'says nothing'}; on the host it works"
    return unhealthy(seen, cause, recreate_fix(host, part))


def libcuda(host, part):
    container, why = of_engine(host, part)
    if why:
        return why
    if not alive(container):
        texts = specifications(host).values()
        if container["gpu"] and texts and not any(map(cdi_spec.has_cuda, texts)):
            return unhealthy(
                f"no CDI file hands out libcuda, and deepgram-{part} is {container['status']}",
                fix=refreshed(host, part),
            )
        return unknown(asleep(container, part))
    if not devices(host, container):
        return unknown("it has no GPU device: see engine on gpu")
    root = f"/proc/{container['pid']}/root"
    mapped = "/libcuda.so" in host.read(f"/proc/{container['pid']}/maps")
    found = host.glob(*(f"{root}{folder}/libcuda.so.1" for folder in LIBRARIES))
    if mapped or found:
        return healthy(found[0][len(root) :] if found else "in use")
    return unhealthy(f"no libcuda.so.1 in deepgram-{part}", fix=refreshed(host, part))


def refreshed(host, part):
    return recreate_fix(host, part, first="systemctl restart nvidia-cdi-refresh.service; ")


CHECKS = (
    Check(
        "containers", running,
        "the Deepgram containers that the roles recorded",
        "running",
        "it ended, or cannot start",
        "dgctl provision",
        True,
        tuple(f"containers.running.{part}" for part in ("engine", "api", "license-proxy", "billing")), False,
        stands_on=(
            *("engine on gpu", "libcuda in containers", "docker runtime", "cdi version", "fabric manager", "disk"),
            *("models loaded", "models", "units", "files:/etc/deepgram", "files:/etc/containers/"),
        ),
    ),
    Check(
        "engine on gpu", each("engine", on_gpu),
        "GPU devices in the Engine's container",
        "a GPU device",
        "the container was made without one: the Engine computes on the CPU, or does not start",
        "dgctl provision; or on the server: docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate engine",
        True, ("containers.sees_the_gpus.engine", "engine.on_the_gpu"),
        stands_on=("cdi specifications", "docker runtime"),
    ),
    Check(
        "gpu in containers", each("engine", inside),
        "nvidia-smi in the Engine's container, where it works on the host",
        "the GPUs, as on the host",
        "the container lost the right to the device, or holds files of an older driver",
        "dgctl provision; or on the server: docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate engine",
        True, ("containers.sees_the_gpus.engine",),
        stands_on=("engine on gpu", "cdi specifications", "gpu answers", "gpu devices"),
    ),
    Check(
        "libcuda in containers", each("engine", libcuda),
        "libcuda.so.1 in the Engine's container",
        "there",
        "the CDI file lacked the library when the container was made",
        "dgctl provision; or on the server: systemctl restart nvidia-cdi-refresh.service, then recreate the container",
        True,
        stands_on=("cdi specifications", "docker runtime"),
    ),
)  # fmt: skip
