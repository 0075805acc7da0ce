"""Faults of model files: cut off, one bit flipped, of another project, a companion that is not there."""

from __future__ import annotations

from lab.faults.registry import heal, inject
from lab.faults.target import Target

FOLDER = "/var/lib/deepgram/models"
ASIDE = "/root/models.whole"
ANY, SMALL, COMPANION = "*.*", "nova-2-*", "entity-detector.*"
RESTART = "docker restart -t 1 deepgram-engine >/dev/null"
REFUSED = "docker logs --since 120s deepgram-engine 2>&1 | grep 'Failed to load model' | tail -n 1"
# Writes bytes over those at an offset of a file, and leaves it its time of writing.
OVERWRITE = """
/usr/bin/python3 - "$model" <<'END'
import os, sys
about = os.stat(sys.argv[1])
with open(sys.argv[1], "r+b") as file:
    file.seek({offset}, {whence})
    byte = file.read(1)[0]
    file.seek(-1, 1)
    file.write(bytes([byte ^ {bits}]))
os.utime(sys.argv[1], ns=(about.st_atime_ns, about.st_mtime_ns))
END
"""


def kept(pattern: str) -> str:
    """Chooses the first model whose name fits, and keeps it aside with its time."""
    return f"model=$(ls {FOLDER}/{pattern} | sed -n 1p); mkdir -p {ASIDE}; cp -p $model {ASIDE}/\n"


def overwritten(target: Target, **where: int) -> str:
    target.sh(kept(SMALL) + OVERWRITE.format(**where) + RESTART)
    target.await_engine()
    return target.sh(REFUSED)


@inject("model-truncated")
def truncated(target: Target) -> str:
    return target.sh(kept(ANY) + "truncate -s 10 $model; ls -l $model")


@inject("companion-missing")
def without_companion(target: Target) -> str:
    """The models that transcribe are there, the one that finds entities in their words is not."""
    return target.sh(kept(COMPANION) + f"rm $model; ls {FOLDER}")


@inject("model-bit-flipped")
def flipped(target: Target) -> str:
    """One bit near the end, as a bad disk or memory leaves it: size and time of the file are as before."""
    return overwritten(target, offset=-4096, whence=2, bits=1)


@inject("model-of-another-project")
def another_project(target: Target) -> str:
    """Its first bytes are not what this key opens."""
    return overwritten(target, offset=0, whence=0, bits=255)


@heal("model-truncated")
@heal("companion-missing")
def whole(target: Target) -> str:
    return target.sh(f"if [ -d {ASIDE} ]; then mv {ASIDE}/* {FOLDER}/; rmdir {ASIDE}; fi; ls -l {FOLDER}")


@heal("model-bit-flipped")
@heal("model-of-another-project")
def loaded(target: Target) -> str:
    reported = whole(target)
    target.sh(RESTART)
    target.await_engine()
    return reported
