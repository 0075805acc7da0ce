"""Certificates for patients, made by openssl: of their own hand, or of an authority with an intermediate one."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
CA = "basicConstraints=critical,CA:TRUE"
ISSUERS = "authorityInfoAccess=caIssuers;URI:http://authority.example/intermediate.crt\n"


@functools.cache
def made(name: str = "gpu1", days: int = 90, issuer: str = "", public: bool = False) -> tuple[str, str]:
    """(certificate, key) in PEM; signed by itself, or by the authority `issuer`, which a `public` one names by its address."""
    names = f"subjectAltName=DNS:{name}\n"
    if not issuer:
        return _own(name, days, names.strip())
    return _signed(name, issuer, days, names + (ISSUERS if public else ""))


def root(name: str) -> str:
    """The certificate of the authority that signs for `made` as its issuer of this name."""
    return _own(name, 365, CA)[0]


@functools.cache
def authority(name: str, issuer: str) -> str:
    """The certificate of an intermediate authority, signed by another one, for what `made` gives of the same name."""
    return _signed(name, issuer, 365, f"{CA}\n", _own(name, 365, CA)[1])[0]


@functools.cache
def _own(name: str, days: int, extension: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        to = ("-keyout", f"{folder}/key", "-out", f"{folder}/crt")
        _openssl("req", "-x509", *CURVE, *to, "-days", str(days), "-subj", f"/CN={name}", "-addext", extension)
        return Path(folder, "crt").read_text(), Path(folder, "key").read_text()


def _signed(name: str, issuer: str, days: int, extensions: str, key: str = "") -> tuple[str, str]:
    """(certificate, key) by an authority; of a key that there is already, or of a new one."""
    ca, ca_key = _own(issuer, 365, CA)
    with tempfile.TemporaryDirectory() as folder:
        for file, text in (("ca", ca), ("ca.key", ca_key), ("ext", extensions), ("key", key)):
            Path(folder, file).write_text(text)
        of = ("-new", "-key", f"{folder}/key") if key else (*CURVE, "-keyout", f"{folder}/key")
        _openssl("req", *of, "-out", f"{folder}/csr", "-subj", f"/CN={name}")
        by = ("-CA", f"{folder}/ca", "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-extfile", f"{folder}/ext")
        _openssl("x509", "-req", "-in", f"{folder}/csr", *by, "-days", str(days), "-out", f"{folder}/crt")
        return Path(folder, "crt").read_text(), Path(folder, "key").read_text()


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)
