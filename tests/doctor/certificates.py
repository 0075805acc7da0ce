"""Certificates for patients: of their own hand, or of an authority with an intermediate one."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

PEM, KEY = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


@functools.cache
def made(name: str = "gpu1", days: float = 90, issuer: str = "", public: bool = False) -> tuple[str, str]:
    """(certificate, key) in PEM; signed by itself, or by the authority `issuer`, which a `public` one names by its address."""
    own = ec.generate_private_key(ec.SECP256R1())
    by, signer = (_name(issuer), _key(issuer)) if issuer else (_name(name), own)
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(by, _name(name), own.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=365)).not_valid_after(now + timedelta(days=days, hours=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    if public:
        address = x509.UniformResourceIdentifier("http://authority.example/intermediate.crt")
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, address)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return _pem(builder.sign(signer, hashes.SHA256())), own.private_bytes(
        PEM, KEY, serialization.NoEncryption()
    ).decode()


@functools.cache
def authority(name: str, issuer: str) -> str:
    """The certificate of an intermediate authority, signed by another one."""
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(_name(issuer), _name(name), _key(name).public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=365)).not_valid_after(now + timedelta(days=365))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return _pem(builder.sign(_key(issuer), hashes.SHA256()))


@functools.cache
def _key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(PEM).decode()
