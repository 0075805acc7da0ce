"""The doctor on the API: what it says of its own health, by which proxies send it requests or none."""

import re

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram.api_health import FAILED_MANY, SERVING, reproach, state
from ansible.module_utils.doctor.check import Check, healthy, unhealthy, unknown
from ansible.module_utils.doctor.containers import addresses, each, logs, of_kind, parts, recreate, recreate_fix
from ansible.module_utils.doctor.engine import Silent
from ansible.module_utils.doctor.service.engine import PATIENCE_S, age, loading, running

PATH = "/v1/status"
FILE = "/etc/deepgram/{}/api.toml"
CONNECTS_S = 60  # an API that found no Engine tries again


def engines_of(host, part):
    """The Engines beside an API that it asks, by its file; all of them where it names none of these."""
    there = of_kind(host, "engine")
    named = re.findall(r"https?://([\w-]+):", host.read(FILE.format(part)))
    return [engine for engine in there if engine in named] or there


def health(host, part):
    url = addresses(host, "api", PATH).get(part)
    if not url or part not in parts(host):
        return unknown("no API is on record here")
    try:
        containers = {name: host.engine.container(name) for name in parts(host)}
    except Silent as silent:
        return unknown(str(silent))
    if not (containers[part] and containers[part]["running"]):
        return unknown(f"deepgram-{part} does not run: see containers")
    answer = host.answer(url)
    if not state(answer.get("body")):
        why = answer.get("why") or f"HTTP {answer['status']}"
        return unknown(f"it does not say: {why}", logs(host, part))
    return judged(host, part, answer["body"], containers)


def connected(host, part):
    """The API without an Engine."""
    url = addresses(host, "api", PATH).get(part)
    container, why = running(host, part)
    if why or not url:
        return why or unknown("no API is on record here")
    reported = host.answer(f"{url}/engine")
    body = reported.get("body")
    seen = body.get("engine_connection_status") if isinstance(body, dict) else None
    if seen == "Connected":
        return healthy(seen)
    if not seen:
        return unknown(f"it does not say: {reported.get('why') or 'HTTP ' + str(reported['status'])}", logs(host, part))
    engines = engines_of(host, part)
    patience = max(_patience(host, engine) for engine in engines)
    log = logs(host, engines[0])
    if age(host, container) < patience:
        return unknown(f"{seen}; it started {age(host, container):.0f} s ago", log)
    return unhealthy(seen, fix=f"on the server: {log}; grep url {FILE.format(part)} names its Engines")


def _patience(host, part):
    """Seconds that an API may be without this Engine, which may still load its models."""
    engine = running(host, part)[0]
    return PATIENCE_S if not engine or loading(host, engine, part) else CONNECTS_S


def judged(host, part, reported, containers):
    seen = state(reported)
    if seen in SERVING:
        return healthy(seen)
    if seen not in FAILED_MANY:
        return unknown(f"{seen}: it has no Engine yet", logs(host, engines_of(host, part)[0]))
    names = {"api": [part], "engine": engines_of(host, part)}
    if reproach(reported, lambda one: started(containers, names[one])):
        return unhealthy(seen, fix=recreate_fix(host, part))
    fix = f"on the server: {logs(host, names['engine'][0])}; after a repair: {recreate(host, part)} forgets them"
    return unhealthy(seen, "too many of its recent requests failed", fix)


def started(containers, names):
    """When the last of these started, as `reproach` asks for it."""
    found = [containers[name] for name in names if name in containers]
    moments = [moment(one["started"]) if one and one["started"] else 0 for one in found]
    return None if not found else 0 if 0 in moments else max(moments)


CHECKS = (
    Check(
        "api engine", each("api", connected),
        "whether the API says that it is connected to an Engine (/v1/status/engine)",
        "Connected",
        "no Engine that driver_pool in api.toml names answers it",
        "on the server: docker logs --tail 50 deepgram-engine; grep url /etc/deepgram/api/api.toml names its Engines",
        False, ("api.engine_connected",), False,
        stands_on=(
            *("containers", "engine answers", "configuration", "licence", "models loaded", "engine load"),
            "files:/etc/deepgram/api",
        ),
    ),
    Check(
        "api health", each("api", health),
        "what the API says of itself: its recent requests, by which proxies send it others or none",
        "Ready or Healthy",
        "its requests failed while it had no Engine, and it forgets that only when it restarts",
        "dgctl provision; or on the server: docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate api",
        True, ("api.health",), False,
        stands_on=("api engine", "containers", "engine answers", "licence", "gpu in containers"),
    ),
)  # fmt: skip
