"""NGINX's certificate: its time, its names, its chain and its key, on disk and as served."""

import json

from tests.doctor import certificates, service_patient
from tests.doctor.faults.table import fault
from tests.doctor.service_patient import CERTIFICATE, TLS_KEY


def own(patient, *pair):
    """The user's own files: the role renews none of them."""
    patient.records["nginx_proxy"]["until"] = 0
    service_patient.certificate(patient, *pair)


@fault({"certificate": "nginx_proxy_tls_certificate"})
def certificate_of_five_days(patient):
    own(patient, *certificates.made(days=5))


@fault({"certificate": "dgctl provision (it makes a new one)"})
def certificate_of_ours_ended(patient):
    service_patient.certificate(patient, *certificates.made(days=1))
    patient.ahead_s = 4 * 86400
    patient.parameters["controller_time"] += patient.ahead_s


@fault({"certificate": "dgctl provision"})
def certificate_cut_off(patient):
    service_patient.certificate(patient, certificates.made()[0][:200], certificates.made()[1])


@fault({"certificate": "dgctl provision"})
def certificate_missing(patient):
    patient.remove(CERTIFICATE)


def of_acme(patient, **state):
    """An ACME authority gives the certificate, and this came of the last order."""
    patient.records["nginx_proxy"]["until"] = 0
    patient.write(ACME, "{}")
    patient.records["nginx_proxy"].setdefault("files", {})[ACME] = patient.host().look_at(ACME)
    patient.write("/var/lib/deepgram-acme/state.json", json.dumps(state))


ACME = "/etc/deepgram-acme/acme.json"
REFUSED = "the authority refuses: gpu1: connection: dial tcp 192.0.2.11:80: connect: connection refused"


@fault({"certificate renewal": "port 80 of that address"})
def certificate_not_renewed(patient):
    fix = "let gpu1 lead here in DNS, and port 80 of that address to this server"
    of_acme(patient, ordered={"names": ["gpu1"]}, error=REFUSED, since=patient.host().started - 3 * 86400, fix=fix)


@fault({"certificate renewal": "systemctl start deepgram-acme"})
def certificate_never_ordered(patient):
    of_acme(patient)


@fault({"certificate": "systemctl start deepgram-acme"})
def certificate_of_an_authority_of_five_days(patient):
    of_acme(patient, ordered={"names": ["gpu1"]}, error="", since=0)
    service_patient.certificate(patient, *certificates.made(days=5))


@fault({"certificate name": "nginx_proxy_server_name"})
def certificate_of_another_name(patient):
    own(patient, *certificates.made("speech.example"))


@fault({"certificate chain": "with its intermediates"})
def certificate_without_its_intermediate(patient):
    own(patient, *certificates.made(issuer="Intermediate", public=True))


@fault({"certificate key": "nginx_proxy_tls_key"})
def key_of_another_certificate(patient):
    patient.write(TLS_KEY, certificates.made("other")[1])


@fault({"certificate key": "nginx_proxy_tls_key", "callers": "systemctl reload nginx"})
def key_that_nginx_refuses(patient):
    """In the words of NGINX 1.26 (src/event/ngx_event_openssl.c) and of OpenSSL 3."""
    key_of_another_certificate(patient)
    words = "error:05800074:x509 certificate routines::key values mismatch"
    patient.say("nginx", f'nginx: [emerg] SSL_CTX_use_PrivateKey("{TLS_KEY}") failed (SSL: {words})\n', 1)


@fault({"certificate key": "nginx_proxy_tls_key"})
def key_missing(patient):
    patient.remove(TLS_KEY)


@fault({"certificate served": "systemctl reload nginx"})
def certificate_not_served_yet(patient):
    patient.served = [("certificate on port 443", "is another than the one in /etc/nginx/tls/deepgram.crt")]
