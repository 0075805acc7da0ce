"""What Deepgram's programs on this server say of themselves.

Sources: developers.deepgram.com/docs: self-hosted-status-endpoint, certificates-endpoint, license-proxy.
"""

import json

import ask

HEALTH = ("Initializing", "Ready", "Healthy", "Degraded", "Critical")
KINDS = {
    "active_batch_requests": "batch",
    "active_stream_requests": "stream",
    "active_listen_v2_stream_requests": "listen_v2_stream",
}
STATES = ("Ready", "Connected", "TrustBased", "Failed")
DATES = ("end_of_support", "end_of_life")


def api(page, url, **names):
    """/v1/status of the API. One that does not answer is down, whatever the reason. names: labels of one of several."""
    try:
        reported = ask.get_json(f"{url}/v1/status")
    except ask.Silent:
        reported = {}
    health = reported.get("system_health")
    page.add("dgctl_api_up", "Whether the API answers /v1/status", bool(health), **names)
    if not health:
        return
    for state in dict.fromkeys([*HEALTH, str(health)]):
        page.add("dgctl_api_health", "1 for the state that /v1/status has", state == health, state=state, **names)
    for key, kind in KINDS.items():
        about = "Requests that the API has, by kind"
        page.add("dgctl_api_active_requests", about, _whole(reported.get(key)), kind=kind, **names)


def license_proxy(page, url):
    """/v1/status of the License Proxy."""
    try:
        reported = ask.get_json(f"{url}/v1/status")
    except ask.Silent:
        reported = {}
    state = reported.get("state")
    page.add("dgctl_license_proxy_up", "Whether the License Proxy answers /v1/status", bool(state))
    if not state:
        return
    for one in dict.fromkeys([*STATES, str(state)]):
        page.add("dgctl_license_proxy_state", "1 for the state that it has", one == state, state=one)
    for key in ("last_successful_checkin", "trust_expiration"):
        about = f"{key} of its /v1/status, seconds since 1970"
        page.add(f"dgctl_license_proxy_{key}_timestamp_seconds", about, ask.moment(reported.get(key)))


def certificates(page, part, url):
    """/v1/certificates of a part: when its release ends. Releases before 260319 have none."""
    try:
        reported = ask.get_json(f"{url}/v1/certificates")
    except ask.Silent:
        return
    for key in DATES:
        about = f"{key} of the release, from /v1/certificates, seconds since 1970"
        page.add(f"dgctl_release_{key}_timestamp_seconds", about, ask.moment(reported.get(key)), part=part)


def renewal(page, path):
    """How the last order of the ACME authority's certificate came out, as deepgram-acme notes it; nothing before the first."""
    try:
        with open(path, encoding="utf-8") as stream:
            since = json.load(stream).get("since", 0)
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError) as error:
        raise ask.Silent(f"{path}: {error}") from error
    about = "Since when orders of the certificate have failed, seconds since 1970; 0 while they succeed"
    page.add("dgctl_tls_renewal_failing_since_timestamp_seconds", about, _whole(since))


def _whole(value):
    return value if isinstance(value, int) and not isinstance(value, bool) else None
