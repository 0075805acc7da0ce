"""The lab's secrets and identities: SSH keys, a certificate authority, passwords. Made once, kept root-only."""

import datetime as dt
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.home import Home
from lab.shell import run

VALID = dt.timedelta(days=825)


def ssh_key(path: Path, comment: str) -> Path:
    """An ed25519 key pair at `path` and `path`.pub, made when absent."""
    if not path.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    return path


def client_key(home: Home) -> Path:
    return ssh_key(home.directory("keys", mode=0o700) / "id_ed25519", "dgctl lab")


def secret(home: Home, name: str, prefix: str = "") -> str:
    """A random word kept under keys/, the same on every call."""
    path = home.directory("keys", mode=0o700) / name
    if not path.exists():
        _write_private(path, f"{prefix}{secrets.token_hex(20)}\n".encode())
    return path.read_text().strip()


def authority(home: Home) -> Path:
    """The lab's own certificate authority: path of its PEM certificate; its key lies beside it as ca.key."""
    directory = home.directory("keys", mode=0o700)
    certificate = directory / "ca.crt"
    if not certificate.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dgctl lab (simulated company) CA")])
        signed = (
            _builder(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_pair(certificate, signed, key)
    return certificate


def certificate(home: Home, name: str, hosts: list[str]) -> Path:
    """A server certificate for `hosts`, signed by the lab's CA: NAME.crt, with NAME.key beside it."""
    path = home.directory("keys", mode=0o700) / f"{name}.crt"
    if path.exists():
        return path
    ca = x509.load_pem_x509_certificate(authority(home).read_bytes())
    ca_key = serialization.load_pem_private_key(path.with_name("ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    signed = (
        _builder(subject, ca.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_pair(path, signed, key)
    return path


def _builder(subject: x509.Name, issuer: x509.Name, key) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + VALID)
    )


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _write_pair(path: Path, certificate: x509.Certificate, key) -> None:
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    _write_private(path.with_suffix(".key"), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    path.write_bytes(certificate.public_bytes(pem))


def _write_private(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
