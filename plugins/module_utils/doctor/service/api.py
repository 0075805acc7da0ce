"""The doctor on the API: what it says of its own health, by which proxies send it requests or none."""

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram.api_health import FAILED_MANY, SERVING, reproach, state
from ansible.module_utils.doctor.check import Check, sick, unknown, well
from ansible.module_utils.doctor.containers import logs, made_anew, parts, remake
from ansible.module_utils.doctor.engine import Silent
from ansible.module_utils.doctor.service.engine import PATIENCE_S, age, loading, running

PATH = "/v1/status"
CONNECTS_S = 60  # an API that found no Engine tries again


def health(host):
    url = next((url for url in host.recorded("deepgram").get("answers") or [] if url.endswith(PATH)), None)
    if not url or "api" not in parts(host):
        return unknown("no API is on record here")
    try:
        containers = {part: host.engine.container(part) for part in parts(host)}
    except Silent as silent:
        return unknown(str(silent))
    if not (containers["api"] and containers["api"]["running"]):
        return unknown("deepgram-api does not run: see containers")
    answer = host.answer(url)
    if not state(answer.get("body")):
        why = answer.get("why") or f"HTTP {answer['status']}"
        return unknown(f"it does not say: {why}", logs(host, "api"))
    return judged(host, answer["body"], containers)


def connected(host):
    """The API without an Engine."""
    url = next((url for url in host.recorded("deepgram").get("answers") or [] if url.endswith(PATH)), None)
    container, why = running(host, "api")
    if why or not url:
        return why or unknown("no API is on record here")
    said = host.answer(f"{url}/engine")
    body = said.get("body")
    seen = body.get("engine_connection_status") if isinstance(body, dict) else None
    if seen == "Connected":
        return well(seen)
    if not seen:
        return unknown(f"it does not say: {said.get('why') or 'HTTP ' + str(said['status'])}", logs(host, "api"))
    engine = running(host, "engine")[0]
    if age(host, container) < (PATIENCE_S if not engine or loading(host, engine) else CONNECTS_S):
        return unknown(f"{seen}; it started {age(host, container):.0f} s ago", logs(host, "engine"))
    return sick(
        seen, cure=f"on the server: {logs(host, 'engine')}; grep url /etc/deepgram/api/api.toml names its Engines"
    )


def judged(host, said, containers):
    seen = state(said)
    if seen in SERVING:
        return well(seen)
    if seen not in FAILED_MANY:
        return unknown(f"{seen}: it has no Engine yet", logs(host, "engine"))
    if reproach(said, lambda part: started(containers, part)):
        return sick(seen, cure=made_anew(host, part="api"))
    cure = f"on the server: {logs(host, 'engine')}; after a repair: {remake(host, 'api')} forgets them"
    return sick(seen, "too many of its recent requests failed", cure)


def started(containers, part):
    """As `reproach` asks for it."""
    if part not in containers:
        return None
    found = containers[part]
    return moment(found["started"]) if found and found["started"] else 0


CHECKS = (
    Check(
        "api engine", connected,
        "whether the API says that it is connected to an Engine (/v1/status/engine)",
        "Connected",
        "no Engine that driver_pool in api.toml names answers it",
        "on the server: docker logs --tail 50 deepgram-engine; grep url /etc/deepgram/api/api.toml names its Engines",
        False, ("api.engine_connected",), False,
        stands_on=("containers", "engine answers", "configuration", "licence", "models loaded", "engine load"),
    ),
    Check(
        "api health", health,
        "what the API says of itself: its recent requests, by which proxies send it others or none",
        "Ready or Healthy",
        "its requests failed while it had no Engine, and it forgets that only when it starts anew",
        "dgctl provision; or on the server: docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate api",
        True, ("api.health",), False,
        stands_on=("api engine", "containers", "engine answers", "licence", "gpu in containers"),
    ),
)  # fmt: skip
