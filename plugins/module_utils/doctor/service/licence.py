"""The doctor on licences: does a licence server answer, and does it take the key."""

from ansible.module_utils.deepgram.api_health import SERVING, state
from ansible.module_utils.deepgram.components import kind
from ansible.module_utils.deepgram.signatures import diagnose
from ansible.module_utils.doctor.check import Check, alike, healthy, unhealthy, unknown
from ansible.module_utils.doctor.containers import UNREACHED, addresses, logs, parts
from ansible.module_utils.doctor.service.api import PATH, engines_of
from ansible.module_utils.doctor.service.engine import running

REFUSED = ("no key", "key refused")


def unreached(host):
    """Whether a container here said lately that its licence server does not answer."""
    here = [part for part in parts(host) if not running(host, part)[1]]
    return any(diagnose(host.recent_log(part), set(UNREACHED)) for part in here)


def licence(host):
    asked = [part for part in parts(host) if not running(host, part)[1]]
    reported = {part: diagnose(host.recent_log(part), {*REFUSED, *UNREACHED}) for part in asked}
    reported = {part: signature for part, signature in reported.items() if signature}
    wrong = {part: one for part, one in reported.items() if one.name in REFUSED or not serves(host, part)}
    if wrong:
        seen = "; ".join(f"deepgram-{part}: {signature.name}" for part, signature in wrong.items())
        causes, fixes = ([(part, one[index]) for part, one in wrong.items()] for index in (1, 2))
        return unhealthy(seen, alike(causes), alike(fixes))
    for part, signature in reported.items():
        return unknown(f"deepgram-{part} said in the last minutes: {signature.name}; it serves", signature.remediation)
    return healthy("nothing said against it") if asked else unknown("no container of ours runs")


def serves(host, part):
    """Whether the APIs here that have to do with a component say that their requests are answered."""
    urls = addresses(host, "api", PATH)
    concerned = [url for api, url in urls.items() if kind(part) != "engine" or part in engines_of(host, api)]
    own = [urls[part]] if part in urls else concerned
    return bool(own) and all(state(host.answer(url).get("body")) in SERVING for url in own)


def proxy(host):
    url = next(iter(host.recorded("license_proxy").get("answers") or []), None)
    if not url or running(host, "license-proxy")[1]:
        return unknown("no License Proxy runs here")
    reported = host.answer(url).get("body")
    seen = reported.get("state") if isinstance(reported, dict) else None
    if seen in ("Connected", "Ready"):
        return healthy(seen)
    if not seen:
        return unknown("it does not say", logs(host, "license-proxy"))
    end = reported.get("trust_expiration")
    until = f", until {end}" if end and seen == "TrustBased" else ""
    cause = "Deepgram's licence servers do not answer it: it lives on what it remembers" if until else ""
    return unhealthy(
        seen + until,
        cause,
        f"on the server: {logs(host, 'license-proxy')}; let it reach license_proxy_servers, port 443",
    )


CHECKS = (
    Check(
        "licence", licence,
        "what the containers said of their licence in the last ten minutes; only reported where the API serves all the same",
        "no complaint",
        "the licence server refuses the key, or does not answer",
        "let this server reach its licence server, port 443; or correct deepgram_api_key",
        False, (), False,
        stands_on=("resolver", "clock", "mtu", "license proxy"),
    ),
    Check(
        "license proxy", proxy,
        "what the License Proxy says of its own connection",
        "Connected, or Ready",
        "it has not reached Deepgram's licence servers for longer than they trust it",
        "on the server: docker logs --tail 50 deepgram-license-proxy; let it reach license_proxy_servers, port 443",
        False, ("license_proxy.state",), False,
        stands_on=("resolver", "clock", "mtu"),
    ),
)  # fmt: skip
