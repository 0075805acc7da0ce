"""The doctor on the API: what it says of its own health, by which proxies send it requests or none."""

from ansible.module_utils import applied_api_health
from ansible.module_utils.doctor_check import Check, sick, unknown, well
from ansible.module_utils.doctor_containers import logs, made_anew, parts, remake
from ansible.module_utils.doctor_engine import Silent

SERVES = ("Ready", "Healthy")
PATH = "/v1/status"


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
    said = answer.get("body")
    state = said.get("system_health") if isinstance(said, dict) else None
    if not state:
        why = answer.get("why") or f"HTTP {answer['status']}"
        return unknown(f"it does not say: {why}", logs(host, "api"))
    return judged(host, said, {part: one["started"] if one else 0 for part, one in containers.items()})


def judged(host, said, started):
    state = said["system_health"]
    if state in SERVES:
        return well(state)
    if state not in applied_api_health.FAILED_MANY:
        return unknown(f"{state}: it has no Engine yet", logs(host, "engine"))
    if applied_api_health.reproach(said, started["api"], started.get("engine")):
        return sick(state, cure=made_anew(host, part="api"))
    cure = f"on the server: {logs(host, 'engine')}; after a repair: {remake(host, 'api')} forgets them"
    return sick(state, "too many of its recent requests failed", cure)


CHECKS = (
    Check(
        "api health", health,
        "what the API says of itself: its recent requests, by which proxies send it others or none",
        "Ready or Healthy",
        "its requests failed while it had no Engine, and it forgets that only when it starts anew",
        "dgctl provision; or on the server: docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate api",
        True, ("api.health",), False,
    ),
)  # fmt: skip
