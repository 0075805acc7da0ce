"""Secure Boot: whether the firmware enforces it, which keys are enrolled, and whether a module's key is among them."""

import struct
import subprocess
import uuid
from pathlib import Path

from places import modinfo

EFIVARS = Path("/sys/firmware/efi/efivars")
GLOBAL, SHIM = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "605dab50-e046-4300-abb6-3dd810dd8b23"
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
ATTRIBUTES = struct.pack("<I", 7)  # non-volatile, boot service and runtime access
HEADER = 28  # of an EFI signature list: type, size of the list, size of its header, size of one signature


def variable(name, vendor=GLOBAL):
    """A variable's value without its attributes; empty where there is none."""
    path = EFIVARS / f"{name}-{vendor}"
    return path.read_bytes()[4:] if path.exists() else b""


def write(name, vendor, value):
    (EFIVARS / f"{name}-{vendor}").write_bytes(ATTRIBUTES + value)


def enforced():
    return variable("SecureBoot")[-1:] == b"\x01"


def certificates(name):
    """DER certificates in a variable that holds EFI signature lists, as MokListRT does."""
    data, found = variable(name, SHIM), []
    while len(data) > HEADER:
        size, _, each = struct.unpack_from("<III", data, 16)
        found.append(data[HEADER + 16 : HEADER + each])
        data = data[size:]
    return found


def signature_list(certificate):
    """One DER certificate as an EFI signature list."""
    owner = uuid.UUID(SHIM).bytes_le
    each = len(owner) + len(certificate)
    return X509 + struct.pack("<III", HEADER + each, 0, each) + owner + certificate


def openssl(certificate, *desired):
    """What `openssl x509` says of a DER certificate."""
    command = ["openssl", "x509", "-inform", "DER", "-noout", *desired]
    return subprocess.run(command, input=certificate, capture_output=True).stdout.decode()


def serial(certificate):
    return openssl(certificate, "-serial").strip().removeprefix("serial=")


def refused(module):
    """Whether the kernel does not load the module: its signature is missing, or by a key that nobody enrolled."""
    if not enforced():
        return False
    key = (modinfo(module, "sig_key") or "").replace(":", "")
    return not key or key not in [serial(one) for one in certificates("MokListRT")]
