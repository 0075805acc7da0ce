"""What certbot and the authority say, as what is wrong and what to do."""

import os
import re

HOOK = re.compile(r"Hook '--manual-(\w+)-hook' for (\S+) reported error code (\d+)")
# RFC 8555's problem documents, as certbot prints them: Domain below version 5, Identifier from then on.
PROBLEM = re.compile(r"(?:Domain|Identifier): +(\S+)\s+Type: +(\S+)\s+Detail: +(.+)")
KIND = re.compile(r"urn:ietf:params:acme:error:(\w+)")
NOISE = (
    "Ask for help",
    "Saving debug log",
    "Hint:",
    "Some challenges have failed",
    "An unexpected error occurred",
    "- - -",
)
REACH = "let {name} lead here in DNS, and port {http} of that address to this server, from wherever the authority asks"
# RFC 8555, section 6.7: what went wrong, and what helps.
FIXES = {
    "connection": REACH,
    "unauthorized": REACH + "; another server that answers there is the usual cause",
    "incorrectResponse": REACH + "; another server that answers there is the usual cause",
    "dns": "give {name} an address in the DNS that the authority asks",
    "caa": "let the CAA records of {name} name this authority, or order from the one that they name",
    "rateLimited": "wait until the limit is over; try with the authority's staging directory first",
    "rejectedIdentifier": "ask an authority that signs this name, or set nginx_proxy_acme_names to names that it signs",
    "externalAccountRequired": "set nginx_proxy_acme_eab_kid and nginx_proxy_acme_eab_hmac_key as the authority gave them "
    "(some take each pair once)",
    "accountDoesNotExist": "the authority has forgotten the account: rm -r {accounts}",
    "unauthorizedDns": "look at what nginx_proxy_acme_dns_hook did: it must set the TXT record _acme-challenge.{name}, wait "
    "until the authority sees it, and leave the records of other names and proxies alone",
}
UNTRUSTED = "set nginx_proxy_acme_ca_file to a PEM file with the authority that signed the directory's own certificate"
# Older versions of certbot with Python 3.11 (github.com/certbot/certbot/issues/9539).
HIDDEN = (
    "see its log for urn:ietf:params:acme:error, which this version of certbot cannot show (its issue 9539); too many orders, "
    "or an external account (nginx_proxy_acme_eab_kid, nginx_proxy_acme_eab_hmac_key) are the usual reasons"
)
UNREACHABLE = "let this server reach {server}: DNS, firewall, and what the address is (nginx_proxy_acme_directory_url)"


def explained(reported, config):
    """(what, fix) of certbot's words."""
    more = {
        "http": config.get("http_port") or 80,
        "server": config["server"],
        "accounts": os.path.join(config["folder"], "accounts"),
    }
    problems = PROBLEM.findall(reported)
    if problems:
        name, kind, _detail = problems[0]
        dns = not config.get("http_port") and kind in ("unauthorized", "dns", "incorrectResponse")
        fix = FIXES.get("unauthorizedDns" if dns else kind, "see what the authority says")
        what = "; ".join(f"{one}: {kind}: {detail.strip()}" for one, kind, detail in problems[:3])
        return f"{_hook(reported)}the authority refuses: {what}", _fix(fix.format(name=name, **more))
    lines = [line.strip() for line in reported.splitlines() if line.strip() and not line.strip().startswith(NOISE)]
    what = lines[-1][:400] if lines else "certbot says nothing"
    return what, _fix(_advice(reported, what).format(name=config["names"][0], **more))


def _hook(reported):
    """That the operator's hook failed; not what it said, which may be a secret, and which certbot's log has."""
    found = HOOK.search(reported)
    return f"nginx_proxy_acme_dns_hook ({found[1]} of {found[2]}) ended with {found[3]}; " if found else ""


def _advice(reported, what):
    """What helps against an error that is of no single name."""
    if "externalaccount" in reported.lower() or "external account" in reported.lower():
        return FIXES["externalAccountRequired"]
    kinds = [kind for kind in KIND.findall(reported) if kind in FIXES]
    if kinds:
        return FIXES[kinds[-1]]
    if "SSLCertVerificationError" in reported or "CERTIFICATE_VERIFY_FAILED" in reported:
        return UNTRUSTED
    if "Requesting " in what or "HTTPSConnectionPool" in reported or "NameResolutionError" in reported:
        return UNREACHABLE
    if "can't set attribute" in what:
        return HIDDEN
    if "Unable to register an account" in reported:  # certbot 1 says no more than that
        return f"see its log; where the authority asks for an external account, {FIXES['externalAccountRequired']}"
    return "see its log"


def _fix(text):
    return (
        f"{text}; then on the server: systemctl start deepgram-acme (its log: /var/log/deepgram-acme/letsencrypt.log)"
    )
