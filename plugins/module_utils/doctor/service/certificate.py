"""The doctor on NGINX's certificate: on disk its time, name, chain and key, and whether that is the one that is served.

openssl reads it: its words are those of OpenSSL 3 (apps/x509.c, apps/verify.c).
"""

import calendar
import ipaddress
import re
import time

from ansible.module_utils.doctor.check import Check, healthy, one_line, unhealthy, unknown

DAYS = 14  # as verify has it
ACME, STATE = "/etc/deepgram-acme/acme.json", "/var/lib/deepgram-acme/state.json"
ACME_LOG = "/var/log/deepgram-acme/letsencrypt.log"
ORDER = "on the server: systemctl start deepgram-acme; journalctl -u deepgram-acme -n 20"
BLOCK = "-----BEGIN CERTIFICATE-----"
KEY = "/etc/nginx/tls/deepgram.key"
NO_ISSUER = re.compile(r"error (20|21) at 0 depth")
RELOAD = "nginx -t && systemctl reload nginx"


def tls(host):
    return host.recorded("nginx_proxy").get("tls") or {}


def openssl(host, name, *words):
    """What openssl says of the certificate; None where there is none or no openssl."""
    path = tls(host).get("certificate")
    if not path or not host.exists(path):
        return None
    return host.programs.also("openssl " + name, "openssl", *words)


def fields(host):
    """{notAfter, subject, issuer} of the first certificate; {} where it cannot be read."""
    path = host.path(tls(host).get("certificate", ""))
    reported = openssl(host, "x509", "x509", "-in", path, "-noout", "-enddate", "-subject", "-issuer")
    lines = reported.text.splitlines() if reported and reported.status == 0 else []
    return dict(line.partition("=")[::2] for line in lines if "=" in line)


def renewal(host):
    """How a new certificate comes here: from an ACME authority, the role's own, or the user's."""
    if of_acme(host):
        return ORDER
    if host.recorded("nginx_proxy").get("until"):
        return "dgctl provision (it makes a new one)"
    return "put a good one into the file that nginx_proxy_tls_certificate names, with its intermediates, then dgctl provision"


def of_acme(host):
    """Whether an ACME authority gives the certificate."""
    return ACME in (host.recorded("nginx_proxy").get("files") or {})


def renewed(host):
    """How the last order came out; the program notes it, and when it began to fail."""
    if not of_acme(host):
        return unknown("no ACME authority gives the certificate")
    state = host.json(STATE)
    if not isinstance(state, dict) or not state.get("ordered"):
        what = (state or {}).get("error") or "no certificate has been ordered yet"
        return unhealthy(what, fix=(state or {}).get("fix") or ORDER)
    if not state.get("error"):
        return healthy("the last order succeeded")
    days = int((host.started - (state.get("since") or host.started)) // 86400)
    return unhealthy(
        f"not renewed for {days} days: {state['error']}" if days else f"not renewed: {state['error']}",
        fix=state.get("fix"),
    )


def needed(probe):
    """A probe that is made where a certificate is on record and can be read."""

    def guarded(host):
        path = tls(host).get("certificate")
        if not path:
            return unknown("no proxy is on record here")
        return probe(host) if fields(host) else unknown(f"{path} cannot be read: see certificate")

    return guarded


def on_disk(host):
    path = tls(host).get("certificate")
    if not path:
        return unknown("no proxy is on record here")
    reported = openssl(host, "x509", "x509", "-in", host.path(path), "-noout", "-enddate", "-subject", "-issuer")
    if reported is None:
        return unhealthy(f"{path} is not there", "somebody removed it", "dgctl provision")
    if reported.status is None:
        return unknown(reported.why)
    if reported.status:
        why = one_line(reported.text.splitlines()[-1] if reported.text else reported.why, 120)
        return unhealthy(f"{path} is no certificate: {why}", "the file was overwritten or cut off", "dgctl provision")
    end = calendar.timegm(time.strptime(fields(host)["notAfter"], "%b %d %H:%M:%S %Y GMT"))
    days = int((end - host.started) // 86400)
    if days < DAYS:
        return unhealthy(f"it ended {-days} days ago" if days < 0 else f"{days} days left", fix=renewal(host))
    return healthy(f"{days} days left")


def name(host):
    asked, path = tls(host)["server_name"], host.path(tls(host)["certificate"])
    try:
        ipaddress.ip_address(asked)
        option = "-checkip"
    except ValueError:
        option = "-checkhost"
    reported = openssl(host, "name", "x509", "-in", path, "-noout", option, asked)
    if "NOT match" in reported.text:
        return unhealthy(f"not for {asked}, but {fields(host)['subject'].strip() or 'other names'}",
                         fix=renewal(host) + "; or set nginx_proxy_server_name to a name in the certificate")  # fmt: skip
    return healthy(asked) if "does match" in reported.text else unknown(one_line(reported.text or reported.why))


def chain(host):
    path = host.path(tls(host)["certificate"])
    found, count = fields(host), host.read(tls(host)["certificate"]).count(BLOCK)
    if found["subject"] == found["issuer"]:
        return healthy("signed by itself")
    reported = openssl(host, "verify", "verify", "-untrusted", path, path)
    if not NO_ISSUER.search(reported.text):
        return healthy(f"{count} certificates")
    seen = f"its issuer is not in the file:{found['issuer']}"
    text = openssl(host, "authority", "x509", "-in", path, "-noout", "-ext", "authorityInfoAccess").text
    if "CA Issuers" in text or count > 1:
        return unhealthy(seen, fix=renewal(host))
    return unknown(seen + "; where that is a root that callers trust, it is right")


def key(host):
    path = host.path(tls(host)["certificate"])
    if not host.exists(KEY):
        return unhealthy(f"{KEY} is not there", "somebody removed it")
    own = openssl(host, "key", "pkey", "-in", host.path(KEY), "-pubout")
    its = openssl(host, "public", "x509", "-in", path, "-noout", "-pubkey")
    if None in (own.status, its.status):
        return unknown(own.why or its.why)
    if own.status:
        return unhealthy(f"{KEY} is no private key", "the file was overwritten or cut off")
    return (
        healthy("the certificate's own")
        if own.text == its.text
        else unhealthy(f"{KEY} is the key of another certificate")
    )


def served(host):
    found = host.certificate_served(tls(host))
    if not found:
        return healthy("the one on the disk")
    how = found[0][1]
    return unhealthy(how) if "another" in how else unknown(f"{how}: see nginx")


CHECKS = (
    Check(
        "certificate", on_disk,
        "NGINX's certificate file, and how long it still holds",
        f"{DAYS} days left, or more",
        "nobody renewed it",
        "dgctl provision with a renewed certificate",
        False, ("tls.expiry",), False,
        stands_on=("clock", "files:/etc/nginx/tls/"),
    ),
    Check(
        "certificate renewal", renewed,
        f"what the ACME authority said to the last order ({STATE}), where one gives the certificate",
        "the last order succeeded",
        "the authority could not ask this server, or refused: its words say which",
        f"{ORDER}; {ACME_LOG}",
        False, ("tls.expiry",), False,
        stands_on=("clock", "resolver", "nginx", "files:/etc/deepgram-acme/"),
    ),
    Check(
        "certificate key", needed(key),
        "whether the key beside the certificate is its own",
        "the certificate's own",
        "certificate or key was replaced without the other",
        "dgctl provision with both files of one pair: nginx_proxy_tls_certificate and nginx_proxy_tls_key",
        True, (), False,
        stands_on=("files:/etc/nginx/tls/",),
    ),
    Check(
        "certificate name", needed(name),
        "the certificate's names against nginx_proxy_server_name",
        "the name that callers ask for",
        "it was issued for another name",
        "dgctl provision with a certificate of that name",
        False, ("tls.name",), False,
        stands_on=("files:/etc/nginx/tls/", "certificate"),
    ),
    Check(
        "certificate chain", needed(chain),
        "whether the file holds what leads from the certificate to its root (openssl verify)",
        "every intermediate certificate",
        "the file lacks the intermediate certificates: callers that do not know them by chance refuse the connection",
        "dgctl provision with the whole chain in the file",
        False, ("tls.trusted",), False,
        stands_on=("files:/etc/nginx/tls/", "certificate"),
    ),
    Check(
        "certificate served", needed(served),
        "the certificate that the port shows, against the file",
        "the one on the disk",
        "the file was replaced, and NGINX not reloaded; or another server block or program has the port",
        f"on the server: {RELOAD}",
        True, (), False,
        stands_on=("nginx", "nginx reloaded", "certificate key", "files:/etc/nginx/tls/"),
    ),
)  # fmt: skip
