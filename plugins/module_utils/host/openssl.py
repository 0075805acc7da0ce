"""Certificates on this server, by its own openssl."""

import ipaddress
import re
import ssl
import subprocess

SUBJECT_LIMIT = 64  # characters that a common name may have


class OpensslFailed(Exception):
    """openssl ended with an error."""


def openssl(*arguments, check=True):
    """(rc, stdout) of openssl."""
    try:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise OpensslFailed("openssl is not installed") from None
    if check and done.returncode:
        raise OpensslFailed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "openssl failed")
    return done.returncode, done.stdout


def subject(name):
    """A name as openssl wants it in -subj."""
    return f"/CN={name[:SUBJECT_LIMIT]}"


def alternative(name):
    """A name as openssl wants it in subjectAltName."""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def alternatives_of(certificate):
    """The names in a certificate, in the same form."""
    text = openssl("x509", "-in", certificate, "-noout", "-ext", "subjectAltName")[1]
    return sorted(alternative(name) for _, name in re.findall(r"(DNS|IP Address):([^,\s]+)", text))


def ends_within(certificate, days):
    return bool(openssl("x509", "-in", certificate, "-noout", "-checkend", str(days * 86400), check=False)[0])


def is_key_of(certificate, key):
    """Whether both can be read and belong together."""
    rc, public = openssl("x509", "-in", certificate, "-noout", "-pubkey", check=False)
    return not rc and openssl("pkey", "-in", key, "-pubout", check=False) == (0, public)


def outdated(certificate, names, days):
    """Why a certificate for these names has to be renewed so many days before its end, or an empty string."""
    if set(alternatives_of(certificate)) != {alternative(name) for name in names}:
        return "its names differ"
    return f"it ends in less than {days} days" if ends_within(certificate, days) else ""


def due(certificate, days):
    """So many days before its end, in seconds since 1970."""
    ends = openssl("x509", "-in", certificate, "-noout", "-enddate")[1].strip().partition("=")[2]
    return int(ssl.cert_time_to_seconds(ends)) - days * 86400
