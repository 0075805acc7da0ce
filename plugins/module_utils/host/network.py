"""What the server answers: addresses over HTTP, and the certificate on a port."""

import json
import socket

from ansible.module_utils.host.http import get

TIMEOUT_S = 3


def ask(url):
    """{"status": 200, "body": parsed JSON or None}, or {"why": text}."""
    reported = page(url)
    if "why" in reported:
        return reported
    try:
        return {"status": reported["status"], "body": json.loads(reported["text"])}
    except ValueError:
        return {"status": reported["status"], "body": None}


def page(url):
    """{"status": 200, "text": what it says}, or {"why": text}."""
    place, _, target = url.partition("://")[2].partition("/")
    name, _, port = place.rpartition(":") if place.rpartition(":")[2].isdigit() else (place, "", "80")
    try:
        with connect(name.strip("[]"), int(port)) as wire, over(url, wire) as connection:
            status, body = get(connection, place, "/" + target, TIMEOUT_S)
    except OSError as error:
        return {"why": f"does not answer: {error}"}
    return {"status": status, "text": body.decode("utf-8", "replace")}


def over(url, wire):
    """The connection with TLS where the address asks for it. It is this server's own: who answers there is not judged."""
    if not url.startswith("https:"):
        return wire
    import ssl  # here: most servers are asked without it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(wire)


def compare_answer(url, answer):
    if answer.get("status") != 200:
        yield f"address {url}", answer.get("why") or f"answers with status {answer['status']}"


def connect(name, port, timeout=None):
    # As bytes, because a str would load the tables for names in foreign scripts.
    return socket.create_connection((name.encode(), port), timeout or TIMEOUT_S)


class Another(ValueError):
    """A port serves another certificate than it should."""


def secured(tls, timeout=None):
    """A connection to who shows the first certificate of the file; raises OSError or ValueError for anybody else."""
    import ssl  # here: on hosts without a proxy it would be loaded for nothing

    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    with open(tls["certificate"], encoding="ascii", errors="replace") as stream:
        first = stream.read().partition(begin)[2].partition(end)[0]
    desired = ssl.PEM_cert_to_DER_cert(begin + first + end)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The very certificate is more than a chain and a name.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secure = context.wrap_socket(
        connect(tls["address"], tls["port"], timeout), server_hostname=tls["server_name"].encode()
    )
    if secure.getpeercert(binary_form=True) != desired:
        secure.close()
        raise Another
    return secure


def compare_certificate(tls):
    """(thing, how) if the port does not serve the first certificate of the file."""
    thing = f"certificate on port {tls['port']}"
    try:
        secured(tls).close()
    except Another:
        yield thing, f"is another than the one in {tls['certificate']}"
    except (OSError, ValueError) as error:
        yield thing, f"cannot be compared with {tls['certificate']}: {error}"
