"""What the server answers: addresses over HTTP, and the certificate on a port."""

import json
import socket

from ansible.module_utils.applied_http import get

TIMEOUT_S = 3


def ask(url):
    """{"status": 200, "body": parsed JSON or None}, or {"why": text}."""
    place, _, target = url.partition("://")[2].partition("/")
    name, _, port = place.rpartition(":") if place.rpartition(":")[2].isdigit() else (place, "", "80")
    try:
        with connect(name.strip("[]"), int(port)) as connection:
            status, body = get(connection, place, "/" + target, TIMEOUT_S)
    except OSError as error:
        return {"why": f"does not answer: {error}"}
    try:
        return {"status": status, "body": json.loads(body)}
    except ValueError:
        return {"status": status, "body": None}


def compare_answer(url, answer):
    if answer.get("status") != 200:
        yield f"address {url}", answer.get("why") or f"answers with status {answer['status']}"


def connect(name, port):
    # As bytes, because a str would load the tables for names in foreign scripts.
    return socket.create_connection((name.encode(), port), TIMEOUT_S)


def compare_certificate(tls):
    """(thing, how) if the port does not serve the first certificate of the file."""
    import ssl  # here: on hosts without a proxy it would be loaded for nothing

    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    thing = f"certificate on port {tls['port']}"
    try:
        with open(tls["certificate"], encoding="ascii", errors="replace") as stream:
            first = stream.read().partition(begin)[2].partition(end)[0]
        wanted = ssl.PEM_cert_to_DER_cert(begin + first + end)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            connect(tls["address"], tls["port"]) as plain,
            context.wrap_socket(plain, server_hostname=tls["server_name"].encode()) as secure,
        ):
            served = secure.getpeercert(binary_form=True)
    except (OSError, ValueError) as error:
        yield thing, f"cannot be compared with {tls['certificate']}: {error}"
        return
    if served != wanted:
        yield thing, f"is another than the one in {tls['certificate']}"
