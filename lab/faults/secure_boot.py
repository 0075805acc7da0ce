"""Secure Boot refuses a module whose key nobody has enrolled."""

from __future__ import annotations

from lab import hardware
from lab.faults.registry import heal, inject
from lab.faults.target import KERNEL, Target

KEY = "/var/lib/dkms/mok.pub"
MOK_LIST = "/sys/firmware/efi/efivars/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23"
ENROL = f"""
PYTHONPATH={KERNEL} /usr/bin/python3 -B - <<'END'
from pathlib import Path
import secure_boot as firmware
key = Path("{KEY}").read_bytes()
enrolled = firmware.certificates("MokListRT")
lists = b"".join(firmware.signature_list(one) for one in [*enrolled, *([] if key in enrolled else [key])])
firmware.write("MokListRT", firmware.SHIM, lists)
END
"""


@inject("module-key-rejected")
def rejected(target: Target) -> str:
    """As after a reboot into a firmware whose setup was changed: the module is on disk, and does not load."""
    target.release_gpus()
    hardware.set_secure_boot(target.directory / "hardware", True)
    target.sh(f"rm -f {MOK_LIST}")
    reported = target.sh("modprobe nvidia || true")
    return f"Secure Boot is on and no key is enrolled. {reported}"


@heal("module-key-rejected")
def enrolled(target: Target) -> str:
    """What a person does in the blue screen of the next boot. Secure Boot stays on."""
    target.sh(ENROL)
    target.forget_log()
    target.use_gpus()
    return f"{KEY} is enrolled, and the module loaded."
