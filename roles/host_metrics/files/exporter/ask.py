"""Asks programs of this server: over HTTP on its own addresses, over TLS, and commands."""

import json
import re
import socket
import ssl
import subprocess
import urllib.request
from datetime import datetime, timezone

LIMIT = 16 << 20  # bytes of an answer that are read; an Engine's metrics are some 100 kB
# On the server itself: an HTTP proxy in the environment is for the outside.
_OPENER = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
)
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})[ T]+(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.\d+)?\s*(.*)$")
_ZONE = re.compile(r"([+-])(\d{1,2}):?(\d\d)?")


class Silent(Exception):
    """Nobody answered, or not what was asked for; the text says why."""


def get(url, timeout_s=5, accept="*/*"):
    """(body, content type) of a URL that answers 200."""
    try:
        request = urllib.request.Request(url, headers={"Accept": accept})
        with _OPENER.open(request, timeout=timeout_s) as answer:
            return answer.read(LIMIT), answer.headers.get("Content-Type", "text/plain")
    except (OSError, ValueError) as error:  # URLError and HTTPError are OSErrors
        raise Silent(f"{url}: {error}") from error


def get_json(url, timeout_s=5):
    """The JSON object that a URL answers with."""
    try:
        found = json.loads(get(url, timeout_s)[0])
    except ValueError as error:
        raise Silent(f"{url}: not JSON") from error
    if not isinstance(found, dict):
        raise Silent(f"{url}: not a JSON object")
    return found


def run(*command, timeout_s=20):
    """(exit status, what it printed, its errors among it). One that hangs is left behind: the driver may hold it."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise Silent(f"{command[0]}: {error.strerror}") from error
    try:
        reported = process.communicate(timeout=timeout_s)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise Silent(f"{command[0]}: no answer in {timeout_s} s") from None
    return process.returncode, reported.decode("utf-8", "replace")


def certificate_end(address, port, name, timeout_s=5):
    """When the certificate that a TLS port serves ends, in seconds since 1970."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # what it serves counts, whoever signed it
    try:
        with (
            socket.create_connection((address, port), timeout_s) as wire,
            context.wrap_socket(wire, server_hostname=name) as tls,
        ):
            served = ssl.DER_cert_to_PEM_cert(tls.getpeercert(True))
        done = subprocess.run(
            ["openssl", "x509", "-noout", "-enddate"], input=served, capture_output=True, text=True, timeout=timeout_s
        )
        return ssl.cert_time_to_seconds(done.stdout.strip().partition("=")[2])
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Silent(f"{address}:{port}: {error}") from error


def moment(reported):
    """Seconds since 1970 of a date, None for none. Without a zone it is UTC.

    /v1/certificates writes `2027-05-15 3:25:28.0 +00:00:00`, the License Proxy RFC 3339.
    """
    match = _DATE.match(str(reported or "").strip())
    if not match:
        return None
    try:
        found = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    zone = _ZONE.match(match.group(7))
    if zone:
        east = int(zone.group(2)) * 3600 + int(zone.group(3) or 0) * 60
        found -= east if zone.group(1) == "+" else -east
    return found
