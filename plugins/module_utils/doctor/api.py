"""The doctor on the API: what it says of its own health, by which proxies send it requests or none."""

from ansible.module_utils.containers.state import moment
from ansible.module_utils.deepgram.api_health import FAILED_MANY, SERVING, reproach, state
from ansible.module_utils.doctor.check import Check, sick, unknown, well
from ansible.module_utils.doctor.containers import logs, made_anew, parts, remake
from ansible.module_utils.doctor.engine import Silent

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
    if not state(answer.get("body")):
        why = answer.get("why") or f"HTTP {answer['status']}"
        return unknown(f"it does not say: {why}", logs(host, "api"))
    return judged(host, answer["body"], containers)


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
        "api health", health,
        "what the API says of itself: its recent requests, by which proxies send it others or none",
        "Ready or Healthy",
        "its requests failed while it had no Engine, and it forgets that only when it starts anew",
        "dgctl provision; or on the server: docker compose -f /etc/deepgram/compose.yaml up -d --force-recreate api",
        True, ("api.health",), False,
        stands_on=("containers", "gpu in containers"),
    ),
)  # fmt: skip
