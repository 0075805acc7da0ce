"""Certificates for tests, by this machine's openssl."""

import subprocess
from pathlib import Path

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def made(folder: Path, name: str, *more: str, days: int = 2) -> Path:
    """NAME.pem in a folder, a certificate and its key, which also lie beside it as NAME.crt and NAME.key; signed by itself unless
    `more` says otherwise.
    """
    files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
    words = ["openssl", "req", "-x509", *CURVE, *files, "-subj", f"/CN={name}", "-days", str(days), *more]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    both = folder / f"{name}.pem"
    both.write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())
    return both
