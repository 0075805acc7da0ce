"""Asks the Deepgram services on this server, and understands what they answer."""

from __future__ import annotations

import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from datetime import datetime, timezone

# Of this server only: whoever answers there is asked how it is, not who it is, so a certificate is not judged here (`verify` does
# that, and NGINX). An HTTP proxy in the environment is for the outside.
_OPENER = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
)
_SCHEMES = {"http": "https", "https": "http"}
_LIMIT = 4 << 20  # bytes of an answer that are read
_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d+))?")
_ZONE = re.compile(r"([+-])(\d\d):?(\d\d)(?::\d\d)?\s*(?:[A-Z]+)?$")


def get(url, timeout=5):
    """(text, "") of a URL that answered 200, else (None, why not)."""
    try:
        with _OPENER.open(url, timeout=timeout) as response:
            return response.read(_LIMIT).decode("utf-8", "replace"), ""
    except urllib.error.HTTPError as error:
        text = error.read(300).decode("utf-8", "replace").strip()
        return None, f"HTTP {error.code}{': ' if text else ''}{text}"
    except urllib.error.URLError as error:
        return None, str(error.reason)
    except (OSError, ValueError) as error:
        return None, str(error)


def get_either(url, timeout=5):
    """The same, with or without TLS: what runs may still have been started without it, or with it."""
    reported = get(url, timeout)
    scheme, _, rest = url.partition("://")
    if reported[0] is not None or "timed out" in reported[1] or "refused" in reported[1]:
        return reported
    other = get(f"{_SCHEMES.get(scheme, scheme)}://{rest}", timeout)
    return reported if other[0] is None and not other[1].startswith("HTTP ") else other


def get_json(url, timeout=5, ask=get):
    """(document, "") of a URL, else (None, why not)."""
    text, why = ask(url, timeout)
    if text is None:
        return None, why
    try:
        return json.loads(text), ""
    except ValueError:
        return None, f"not JSON: {text[:80]!r}"


def speaks_tls(address, timeout=5):
    """Why nobody speaks TLS at host:port, or "". Who asks for a certificate, or refuses ours, speaks it.

    A bare connection proves nothing: Docker takes it for a container that does not listen yet.
    """
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout) as tcp, context.wrap_socket(tcp):
            return ""
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return "connection closed"
    except ssl.SSLError as error:
        return "" if "ALERT" in (error.reason or "") else str(error.reason or error)
    except (OSError, ValueError) as error:
        return str(error)


def metrics(text):
    """Samples of a Prometheus or OpenMetrics page: {name: [(labels, value)]}."""
    found = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match:
            try:
                value = float(match.group(3))
            except ValueError:
                continue
            found.setdefault(match.group(1), []).append((dict(_LABEL.findall(match.group(2) or "")), value))
    return found


def engine_load(samples):
    """What the Engine's metrics say of its load; None where they say nothing. A limit of 0 is no limit."""

    def single(name):
        values = samples.get(name)
        return int(values[0][1]) if values else None

    active = {labels.get("kind", "all"): int(value) for labels, value in samples.get("engine_active_requests", [])}
    return {
        "max_active_requests": single("engine_max_active_requests"),
        "active_requests": active,
        "estimated_stream_capacity": single("engine_estimated_stream_capacity"),
    }


def models(document):
    """Models as a flat list of {kind, name, architecture, languages, version, uuid}.

    Releases before 260630 answer with a list, later ones with lists by kind.
    """
    groups = document.items() if isinstance(document, dict) else [("stt", document)]
    keys = ("name", "canonical_name", "architecture", "languages", "version", "uuid", "batch", "streaming")
    return [
        {"kind": kind, **{key: entry.get(key) for key in keys}}
        for kind, entries in groups
        if isinstance(entries, list)
        for entry in entries
        if isinstance(entry, dict)
    ]


def parse_time(text):
    """Seconds since 1970 of the many ways in which a date is written, or None. Without a zone it is UTC.

    Deepgram writes `2025-11-13 3:26:33.0 +00:00:00`, Docker and Podman RFC 3339 with nanoseconds.
    """
    match = _TIME.search(text or "")
    if not match:
        return None
    parts = [int(part) for part in match.groups()[:6]]
    try:
        moment = datetime(*parts, tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    zone = _ZONE.search(text[match.end() :].strip())
    if zone:
        minutes = int(zone.group(2)) * 60 + int(zone.group(3))
        moment -= 60 * (minutes if zone.group(1) == "+" else -minutes)
    return moment + float(f"0.{match.group(7) or 0}")


def days_left(text, now):
    """Whole days from `now` (seconds since 1970) until a date, or None."""
    moment = parse_time(text)
    return None if moment is None else int((moment - now) // 86400)
