"""Action plugin of api_certificate: keeps the deployment's authority on the controller, and signs what servers ask for.

One authority for all APIs, on the controller: proxies trust it alone, so that a server's certificate is renewed without a
change of any proxy. Its key lies beside the inventory, for its owner alone, and goes to no server.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import time
from datetime import datetime, timedelta, timezone

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 3650  # of an authority
KNOWN_DAYS = 90  # a new authority is trusted so long before it signs: each proxy is provisioned once in that time
SPARE_DAYS = 180  # before the last day on which the old one could sign, the new one is made
FOLDER = "api-authority"
KEY_BITS = 3072
EARLIER = timedelta(hours=1)  # clocks of servers differ
PEM = serialization.Encoding.PEM


class ActionModule(ActionBase):
    """Asks the module twice where a certificate is due: for the request, and to put the signed one in place."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self._task.args
        if given.get("certificate_content") is not None:
            return {**result, **self._execute_module(module_args=given, task_vars=task_vars)}
        folder = given.get("folder") or os.path.join(task_vars.get("inventory_dir") or os.getcwd(), FOLDER)
        days = int(given.get("days") or 397)
        try:
            authority = Authority(os.path.expanduser(folder), days, self._task.check_mode)
        except (OSError, ValueError) as error:
            fix = "make the folder writable for you, or give another one in deepgram_api_tls_authority_folder"
            raise AnsibleActionFail(
                f"{folder}: no authority for the APIs' certificates: {error}. Fix: {fix}."
            ) from error
        if given.get("state") == "authority":
            return {**result, "changed": authority.made, "authority": authority.pem, "renew_at": authority.renew_at}
        return {**result, **self._certificate(given, authority, days, task_vars)}

    def _certificate(self, given, authority, days, task_vars):
        asked = {**given, "authority": authority.pem}
        reported = self._execute_module(module_args=asked, task_vars=task_vars)
        if reported.get("failed") or not reported.get("request"):
            return reported
        signed = authority.signed(reported["request"], given["names"], days)
        done = self._execute_module(module_args={**asked, "certificate_content": signed}, task_vars=task_vars)
        return {**done, "reason": reported["reason"]} if not done.get("failed") else done


class Authority:
    """The authorities in a folder, the newest first; made where there is none, and a next one in time."""

    def __init__(self, folder, days, check_mode=False):
        self.folder, self.days, self.made = folder, days, False
        with self._alone(check_mode):
            self.known = self._read()
            if not self.known or self._ends(self.known[0]) - self._lead() < time.time():
                self.known = [_made(), *self.known][:2]
                self.made = True
                if not check_mode:
                    self._write()

    @property
    def pem(self):
        """The certificates of all, in the order of their age."""
        return "".join(certificate.public_bytes(PEM).decode() for certificate, _key in self.known)

    @property
    def renew_at(self):
        """When the next authority is due."""
        return int(self._ends(self.known[0]) - self._lead())

    def signer(self):
        """The newest that proxies know for long; the only one, where there is no other."""
        old = [one for one in self.known if time.time() - _start(one[0]) > KNOWN_DAYS * 86400]
        return old[0] if old else self.known[-1]

    def signed(self, request, names, days):
        """The chain in PEM of a server's request; only its key is taken from that, names are the inventory's."""
        certificate, key = self.signer()
        public = x509.load_pem_x509_csr(request.encode()).public_key()
        now = datetime.now(timezone.utc)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0]))
            .issuer_name(certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - EARLIER)
            .not_valid_after(min(now + timedelta(days=days), certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return leaf.public_bytes(PEM).decode() + certificate.public_bytes(PEM).decode()

    def _lead(self):
        return (self.days + SPARE_DAYS) * 86400

    def _ends(self, one):
        return one[0].not_valid_after_utc.timestamp()

    @contextlib.contextmanager
    def _alone(self, check_mode):
        """Servers are served at the same time, and the authority is made once."""
        if check_mode and not os.path.isdir(self.folder):
            yield
            return
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with open(os.path.join(self.folder, ".lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self):
        path = os.path.join(self.folder, "authority.crt")
        if not os.path.exists(path):
            return []
        with open(path, "rb") as file:
            certificates = x509.load_pem_x509_certificates(file.read())
        with open(os.path.join(self.folder, "authority.key"), "rb") as file:
            keys = [
                serialization.load_pem_private_key(block + b"-----END PRIVATE KEY-----\n", None)
                for block in file.read().split(b"-----END PRIVATE KEY-----\n")
                if block.strip()
            ]
        pairs = [(one, key) for one in certificates for key in keys if one.public_key() == key.public_key()]
        if len(pairs) < len(certificates):
            raise ValueError("authority.key lacks the key of a certificate in authority.crt")
        living = [one for one in pairs if one[0].not_valid_after_utc > datetime.now(timezone.utc)]
        return sorted(living, key=lambda one: _start(one[0]), reverse=True)

    def _write(self):
        form = serialization.PrivateFormat.PKCS8
        keys = b"".join(key.private_bytes(PEM, form, serialization.NoEncryption()) for _certificate, key in self.known)
        for name, data, mode in (("authority.key", keys, 0o600), ("authority.crt", self.pem.encode(), 0o644)):
            path = os.path.join(self.folder, name)
            with open(os.open(f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
                file.write(data)
            os.replace(f"{path}.part", path)


def _start(certificate):
    return certificate.not_valid_before_utc.timestamp()


def _made():
    """(certificate, key) of a new authority."""
    key, now = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS), datetime.now(timezone.utc)
    name = _name(f"Deepgram APIs {now:%Y-%m-%d %H:%M}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(**true):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**{name: true.get(name, False) for name in names})


def _alternatives(names):
    found = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found
