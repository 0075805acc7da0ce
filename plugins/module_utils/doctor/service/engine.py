"""The doctor on the Engine: does it answer, from the recorded image, on the GPU, with its limit and within it."""

import re

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram.components import ROLES
from ansible.module_utils.deepgram.http import engine_load, metrics
from ansible.module_utils.deepgram.signatures import diagnose
from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.containers import LISTENS, addresses, each, logs, of_kind, parts, recreate_fix
from ansible.module_utils.doctor.engine import Silent
from ansible.module_utils.doctor.host import LATE

FILE = "/etc/deepgram/{}/engine.toml"
LIMIT = "max_active_requests"
PATIENCE_S = 900  # an Engine that loads its models listens late: the official chart gives it ten minutes
DEVICES = re.compile(r"using devices|on device", re.IGNORECASE)


def running(host, part):
    """(a container that runs, None), or (None, why nothing can be said of it)."""
    if part not in parts(host):
        return None, unknown(f"no {part} is on record here")
    try:
        found = host.engine.container(part)
    except Silent as silent:
        return None, unknown(str(silent))
    runs = found and found["running"]
    return (found, None) if runs else (None, unknown(f"deepgram-{part} does not run: see containers"))


def age(host, container):
    """Seconds since a container started; a long time where that is not known."""
    return host.started - moment(container["started"]) if container["started"] else 10 * PATIENCE_S


def loading(host, container, part="engine"):
    """Whether an Engine may still be loading its models: it started lately, and has not said that it listens."""
    return age(host, container) < PATIENCE_S and not any(LISTENS in line for line in host.start_log(part))


def metrics_url(host, part):
    return addresses(host, "engine", "/metrics").get(part)


def answers(host, part):
    container, why = running(host, part)
    url = metrics_url(host, part)
    if why or not url:
        return why or unknown("the address of its metrics is not on record")
    reported = host.page(url)
    if reported.get("status") == 200:
        return healthy("it answers")
    seen = reported.get("why") or f"HTTP {reported['status']}"
    if loading(host, container, part):
        return unknown(
            f"{seen}; it started {age(host, container):.0f} s ago, and may load its models", logs(host, part)
        )
    if LATE in seen:
        return unhealthy("it takes connections and says nothing", "it hangs: a stopped process, or a GPU that does not answer",
                         f"on the server: {host.engine.kill.format(part=part)}; its requests hang with it")  # fmt: skip
    return unhealthy(seen, fix=f"on the server: {logs(host, part)}; then {recreate_fix(host, part)}")


def load(host, part):
    """What the Engine says of its load: see engine_load; None where it says nothing."""
    url = metrics_url(host, part)
    reported = host.page(url) if url and not running(host, part)[1] else {}
    return engine_load(metrics(reported["text"])) if reported.get("status") == 200 else None


def places(text, key):
    """[(table, value)] where a key stands in a TOML file; "" is the file's own, outside of every table."""
    found, table = [], ""
    for line in text.splitlines():
        head = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        value = re.match(rf"\s*\"?{key}\"?\s*=\s*([^#]+)", line)
        if head:
            table = head[1]
        elif value:
            found.append((table, value[1].strip()))
    return found


def files(host):
    """The configuration of each Engine."""
    return [FILE.format(part) for part in of_kind(host, "engine")]


def misplaced(text):
    """The table under which the Engine's limit stands where nothing reads it; "" for none."""
    found = dict(places(text, LIMIT))
    return next((table for table in found if table), "") if "" not in found else ""


def limit(host, part):
    file = FILE.format(part)
    text = host.read(file)
    if part not in parts(host) or not text:
        return unknown(f"no {file} here")
    table = misplaced(text)
    if table:
        seen = f"{LIMIT} stands under [{table}] in {file}, where the Engine does not read it: it has no limit"
        return unhealthy(seen, "the file was edited by hand, or deepgram_engine_settings has it there")
    written = dict(places(text, LIMIT)).get("", "").replace("_", "")
    found = load(host, part)
    now = found and found[LIMIT]
    if not written.isdecimal():
        return (
            healthy("none is set")
            if not now
            else unhealthy(f"{now} in the running Engine, none in {file}", fix=recreate_fix(host, part))
        )
    if now is None:
        return unknown("the Engine does not say which it has")
    same = now == int(written)
    return (
        healthy(written)
        if same
        else unhealthy(f"{now or 'none'} in the running Engine, {written} in {file}", fix=recreate_fix(host, part))
    )


def full(host, part):
    found = load(host, part)
    if not found:
        return unknown("the Engine's metrics cannot be read")
    active, most = sum(found["active_requests"].values()), found[LIMIT]
    if not most:
        return healthy(f"{active} requests, without a limit")
    if active > most:
        command = host.engine.restart.format(part=part)
        fix = f"dgctl provision; or on the server: {command}, once drained"
        return unhealthy(f"{active} requests, and its limit is {most}", fix=fix)
    if active == most:
        return unknown(
            f"{active} of {most} requests: it refuses more", "add a server, or raise the limit where the GPU bears it"
        )
    return healthy(f"{active} of {most} requests")


def images(host):
    recorded = {}
    for role in ROLES:
        recorded.update((host.recorded(role).get("containers") or {}).get("names", {}))
    wrong, seen = [], []
    for part in parts(host):
        container, was = running(host, part)[0], recorded[f"deepgram-{part}"].get("image_id")
        if container and container["image_id"] and was:
            (seen if container["image_id"] == was else wrong).append(part)
    if not wrong:
        return healthy(f"{listed(seen)}: as recorded") if seen else unknown("no image is on record, or none runs")
    names = listed(f"deepgram-{part}" for part in wrong)
    return unhealthy(f"{names}: another image than the recorded one", fix=recreate_fix(host, *wrong))


def device(host, part):
    _, why = running(host, part)
    if why:
        return why
    reported = [line for line in host.start_log(part) if DEVICES.search(line)]
    if not reported:
        return unknown("the log of its start is not there any more, or does not say")
    signature = diagnose(reported, {"CPU"})
    if signature:
        return unhealthy(signature.line, signature.meaning, recreate_fix(host, part))
    return healthy(reported[-1].rpartition(": ")[2])


CHECKS = (
    Check(
        "engine device", each("engine", device),
        "what the Engine said at its start of the device that it computes on",
        "a GPU",
        "the Engine computes on the CPU",
        "dgctl provision; or on the server: docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate engine",
        True, ("engine.on_the_gpu",),
        stands_on=("engine on gpu", "gpu in containers", "libcuda in containers", "gpu answers"),
    ),
    Check(
        "images", images,
        "the image of each running container against the one that the roles recorded",
        "as recorded",
        "a container was made by hand, or from an older definition",
        "dgctl provision",
        True, ("containers.pinned_image",), False,
        stands_on=("files:/etc/deepgram",),
    ),
    Check(
        "engine answers", each("engine", answers),
        "the Engine's metrics; one that is late is asked twice",
        "an answer",
        "it does not listen, though it has had time to load its models",
        "dgctl provision; or on the server: docker restart -t 5 deepgram-engine",
        True,
        stands_on=("containers", "gpu in containers", "gpu answers", "engine device", "models loaded", "configuration"),
    ),
    Check(
        "engine limit", each("engine", limit),
        "max_active_requests in engine.toml, the table that it stands in, and the limit that the running Engine has",
        "the same, outside of every table",
        "the Engine started before the file was written",
        "dgctl provision",
        True, ("engine.max_active_requests",),
        stands_on=("files:/etc/deepgram/engine", "configuration"),
    ),
    Check(
        "engine load", each("engine", full),
        "requests that the Engine has now, against its limit; at the limit it is only reported",
        "within its limit",
        "it took more than its limit allows: it runs with another one than it says",
        "dgctl provision; or on the server: docker restart deepgram-engine, once drained",
        False,
        stands_on=("engine limit",),
    ),
)  # fmt: skip
