"""Reads TLS certificates: from a file, and from a port."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def first_certificate(path):
    """DER of the first certificate in a PEM file. Raises OSError, also when there is none."""
    with open(path) as file:
        match = _PEM.search(file.read())
    if not match:
        raise OSError(f"{path} holds no certificate")
    return ssl.PEM_cert_to_DER_cert(match.group(0))


def served_certificate(host, port, server_name, timeout=5):
    """DER of the certificate that a port serves, not verified: the caller compares it. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout) as plain,
        context.wrap_socket(plain, server_hostname=server_name) as secure,
    ):
        return secure.getpeercert(binary_form=True)


def describe(path):
    """{not_after, names} of a PEM file's first certificate; not_after as openssl writes it. Raises OSError."""
    argv = [
        "openssl",
        "x509",
        "-in",
        path,
        "-noout",
        "-enddate",
        "-dateopt",
        "iso_8601",
        "-ext",
        "subjectAltName",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise OSError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{path} cannot be read")
    end = re.search(r"notAfter=(.*)", done.stdout)
    return {
        "not_after": end.group(1).strip() if end else None,
        "names": re.findall(r"(?:DNS|IP Address):([^,\s]+)", done.stdout),
    }
