"""What an image carries besides its program: release, certificates' dates, internal CA, bundled settings.

All of it lies in one directory (/usr/share/deepgram in an image, STANDIN_FILES elsewhere):
release.json, internal-ca.pem, internal.pem (certificate and key), lab-ca.pem and bundled/*.toml (both optional).
"""

from __future__ import annotations

import json
import os
import ssl
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .logs import Fatal, Log

HERE = Path(__file__).resolve().parent
_MONTH = timedelta(days=365.25) / 12


@dataclass(frozen=True)
class Release:
    """One image: its directory, release tag, component versions, support window, driver floor, usual licence server."""

    directory: Path
    tag: str
    versions: dict
    beginning: datetime
    driver_floor: str
    license_server: str
    instance_id: str

    @property
    def end_of_support(self) -> datetime:
        return self.beginning + 18 * _MONTH

    @property
    def end_of_life(self) -> datetime:
        return self.beginning + 36 * _MONTH

    def bundled(self, name: str) -> Path:
        own = self.directory / "bundled" / name
        return own if own.exists() else HERE / "bundled" / name

    def certificates(self, hour: str = "%H") -> dict:
        """The body of /v1/certificates, with the real one's unusual time stamps (the offset has seconds)."""
        stamp = f"%Y-%m-%d {hour}:%M:%S.0 +00:00:00"
        return {
            "beginning_of_support": self.beginning.strftime(stamp),
            "end_of_support": self.end_of_support.strftime(stamp),
            "end_of_life": self.end_of_life.strftime(stamp),
            "instance_id": self.instance_id,
        }


def load() -> Release:
    directory = Path(os.environ.get("STANDIN_FILES", "/usr/share/deepgram"))
    about = json.loads((directory / "release.json").read_text())
    return Release(
        directory,
        about["release"],
        about["versions"],
        datetime.fromisoformat(about["beginning_of_support"]),
        about.get("driver_floor", "0"),
        about.get("license_server", "https://license.deepgram.com"),
        str(uuid.uuid4()),
    )


def check_certificates(program: str, release: Release, log: Log) -> None:
    """Logs the support window; past its end of life a program refuses to start."""
    log.info(program, "Certificates information.", **release.certificates(hour="%-H"))  # unpadded in the log alone
    if datetime.now(UTC) > release.end_of_life:
        log.error(program, "Certificates have expired. This release is past its end of life")
        raise Fatal


def serving_tls(release: Release) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(release.directory / "internal.pem")
    return context


def internal_tls(release: Release) -> ssl.SSLContext:
    """For calls between the programs: the internal CA decides, host names are the user's own and not checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(release.directory / "internal-ca.pem")
    return context


def public_tls(release: Release) -> ssl.SSLContext:
    """For licence servers: the system's CAs, and the lab's where the image carries it."""
    context = ssl.create_default_context()
    lab = release.directory / "lab-ca.pem"
    if lab.exists():
        context.load_verify_locations(lab)
    return context
