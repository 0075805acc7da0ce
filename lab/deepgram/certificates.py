"""The internal CA of one lab's images: a certificate for calls between the programs, made once with openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

DAYS = "3650"


def _openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True, text=True)


def internal_ca(directory: Path) -> None:
    """Writes internal-ca.pem and internal.pem (certificate and key together) into `directory` if they are not there."""
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "internal.pem").exists():
        return
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subject = "/CN=Simulated Deepgram internal CA"
    _openssl(
        "req", "-x509", *curve, "-keyout", "ca.key", "-out", "internal-ca.pem", "-days", DAYS, "-subj", subject,
        "-addext", "keyUsage=critical,keyCertSign", cwd=directory,
    )  # fmt: skip
    _openssl(
        "req",
        *curve,
        "-keyout",
        "own.key",
        "-out",
        "own.csr",
        "-subj",
        "/CN=deepgram-internal",
        cwd=directory,
    )
    _openssl(
        "x509", "-req", "-in", "own.csr", "-CA", "internal-ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "own.crt", "-days", DAYS, cwd=directory,
    )  # fmt: skip
    both = (directory / "own.crt").read_text() + (directory / "own.key").read_text()
    for name in ("ca.key", "own.key", "own.csr", "own.crt", "internal-ca.srl"):
        (directory / name).unlink(missing_ok=True)
    (directory / "internal.pem").touch(mode=0o600)
    (directory / "internal.pem").write_text(both)
