"""Looks at a TLS server from outside: whom it proves to be, for how long, and what it still speaks."""

from __future__ import annotations

import socket
import ssl
import warnings
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

TIMEOUT_S = 10
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python does not name: expiry is a check of its own.
_NO_CHECK_TIME = 0x200000
# What OpenSSL calls "this machine's policy has no such version": nothing was learned about the server.
_NOT_OURS = ("NO_PROTOCOLS_AVAILABLE", "UNSUPPORTED_PROTOCOL", "NO_CIPHERS_AVAILABLE")


@dataclass(frozen=True)
class Proxy:
    """Where the TLS proxy listens, and the name that it must prove.

    `only_trust`: the only certificate to trust (PEM; None: the system's). `tunnel`: a socket that leads there.
    `plain`: no TLS, for an API's own port at the end of a tunnel. `key`: what requests show for themselves; "" for nothing.
    `also_trust`: authorities that are trusted beside the system's (PEM).
    """

    address: str
    port: int
    name: str
    only_trust: str | None = None
    tunnel: str = ""
    plain: bool = False
    key: str = field(default="", repr=False)
    also_trust: str = field(default="", repr=False)

    @property
    def credentials(self) -> dict[str, str]:
        """The header with the key."""
        return {"Authorization": f"Token {self.key}"} if self.key else {}

    @property
    def authority(self) -> str:
        """The name as it stands in a URL and in the Host header."""
        return self.name if self.port == (80 if self.plain else 443) else f"{self.name}:{self.port}"

    @property
    def base_url(self) -> str:
        """Of the address itself, whatever its name resolves to."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'http' if self.plain else 'https'}://{host}:{self.port}"

    def connect(self) -> socket.socket:
        """A connection to the address, or into the tunnel (the name need not resolve here). Raises OSError."""
        if self.tunnel:
            made = socket.socket(socket.AF_UNIX)
            made.settimeout(TIMEOUT_S)
            made.connect(self.tunnel)
            return made
        return socket.create_connection((self.address, self.port), TIMEOUT_S)


def of_api(address: str, port: int, secured: dict[str, str] | None, tunnel: str = "") -> Proxy:
    """An API's own port. `secured`: {name, authority} of its TLS, the authority a file here."""
    if not secured:
        return Proxy(address, port, "localhost", tunnel=tunnel, plain=True)
    trust = Path(secured["authority"])
    return Proxy(address, port, secured["name"], trust.read_text() if trust.is_file() else "", tunnel)


@dataclass(frozen=True)
class Handshake:
    """What a completed handshake showed."""

    version: str
    protocol: str | None
    certificate: x509.Certificate

    @property
    def days_left(self) -> int:
        return (self.certificate.not_valid_after_utc - datetime.now(UTC)).days


def context(proxy: Proxy) -> ssl.SSLContext:
    """Verifies the chain and the name: against the system's trust, or against one self-signed certificate
    alone.
    """
    if proxy.only_trust is None:
        trusting = ssl.create_default_context()
        if proxy.also_trust:
            trusting.load_verify_locations(cadata=proxy.also_trust)
        return trusting
    made = ssl.create_default_context(cadata=proxy.only_trust)
    # The certificate is the server's own: it need not be a CA to be believed.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return made


def handshake(proxy: Proxy, made: ssl.SSLContext) -> Handshake:
    """Raises ssl.SSLError (refused, not trusted, wrong name) or OSError (no connection)."""
    with proxy.connect() as tcp, made.wrap_socket(tcp, server_hostname=proxy.name) as tls:
        certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
        return Handshake(str(tls.version()), tls.selected_alpn_protocol(), certificate)


def trusted(proxy: Proxy) -> Handshake:
    """A handshake that trusts the chain, whatever the name and the day. Raises as handshake does."""
    made = context(proxy)
    made.check_hostname = False
    made.verify_flags |= _NO_CHECK_TIME
    return _pinned(proxy, handshake(proxy, made))


def named(proxy: Proxy) -> Handshake:
    """A handshake that believes the certificate it is shown, if it is for the name. Raises as handshake does."""
    shown = looked_at(proxy).certificate.public_bytes(Encoding.PEM).decode()
    made = context(replace(proxy, only_trust=shown))
    made.verify_flags |= _NO_CHECK_TIME
    return handshake(proxy, made)


def _pinned(proxy: Proxy, shaken: Handshake) -> Handshake:
    if proxy.only_trust and shaken.certificate != x509.load_pem_x509_certificate(proxy.only_trust.encode()):
        raise ssl.SSLError("the server showed another certificate than its own one read over SSH")
    return shaken


def looked_at(proxy: Proxy, *protocols: str) -> Handshake:
    """A handshake for looking only: nothing is sent over it, so it trusts anyone. Offers ALPN `protocols`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(list(protocols) or ["http/1.1"])
    return handshake(proxy, made)


def speaks(proxy: Proxy, version: ssl.TLSVersion) -> bool | None:
    """True when the server completes a handshake at `version`; None when this machine cannot offer that
    version.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    try:
        made.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            made.minimum_version = made.maximum_version = version
        handshake(proxy, made)
    except ssl.SSLError as refusal:
        return None if refusal.reason in _NOT_OURS else False
    except ConnectionError:
        return False
    return True


def names(certificate: x509.Certificate) -> list[str]:
    """The DNS names and addresses that a certificate is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(entry.value) for entry in extension.value]


def reason(problem: Exception) -> str:
    """Why a connection was not made or not trusted, in few words."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return problem.verify_message or problem.reason or str(problem)
    if isinstance(problem, TimeoutError):
        return "no answer"
    return getattr(problem, "strerror", None) or str(problem)
