"""The doctor on models: is each file as it was recorded, and did the Engine take it."""

import hashlib
import os

from ansible.module_utils.deepgram.log import models as models_logged
from ansible.module_utils.deepgram.signatures import diagnose
from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.containers import each, logs
from ansible.module_utils.doctor.service.engine import running
from ansible.module_utils.host import files as host_files

SUMS = ".sha256.json"
LIMIT_S = 600  # a disk of 500 MB a second reads 300 GB


def recorded(host):
    """{path: what the role recorded of a model file}."""
    return host.recorded("deepgram_models").get("large_files") or {}


def files(host):
    known = recorded(host)
    if not known:
        return unknown("no model is on record here")
    bad, touched, size = [], [], 0
    for path, was in known.items():
        now, name = host_files.look_at_large(host.path(path)), os.path.basename(path)
        size += now.get("size", 0)
        if now.get("size") != was["size"]:
            bad.append(f"{name} has {now['size']} of {was['size']} bytes" if now else f"{name} is missing")
        elif now["mtime_ns"] != was["mtime_ns"]:
            touched.append(name)
    if bad:
        return unhealthy(listed(bad))
    if touched:
        return unknown(f"written again: {listed(touched)}", "dgctl doctor --deep compares their checksums")
    return healthy(f"{len(known)} files, {size / 1e6:.0f} MB")


def checksums(host):
    """Of every model; takes as long as the disk needs to read them."""
    known = recorded(host)
    sums, bad, seen = {}, [], 0
    for folder in {os.path.dirname(path) for path in known}:
        sums.update({f"{folder}/{name}": entry for name, entry in (of_folder(host, folder)).items()})
    for path in known:
        expected = (sums.get(path) or {}).get("sha256")
        if expected and host.exists(path):
            seen += 1
            bad += [os.path.basename(path)] if sha256(host.path(path)) != expected else []
    if bad:
        return unhealthy(f"another content than recorded: {listed(bad)}")
    return healthy(f"{seen} files") if seen else unknown("no checksum is on record here")


def of_folder(host, folder):
    found = host_files.read_json(host.path(f"{folder}/{SUMS}"))
    return {name: entry for name, entry in found.items() if isinstance(entry, dict)} if isinstance(found, dict) else {}


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for part in iter(lambda: stream.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def loaded(host, part):
    _, why = running(host, part)
    if why:
        return why
    events = host.start_log(part)
    taken, refused = models_logged(events)
    there = {os.path.basename(path) for path in recorded(host)}
    still = {file: line for file, line in refused.items() if not file or not there or file in there}
    if still:
        signature = diagnose(still.values(), {"model of another project", "Flux not enabled", "model refused"})
        seen = f"refused: {listed(file or 'a file that the log does not name' for file in still)}"
        if signature:
            again = [path for path in recorded(host) if os.path.basename(path) in still]
            fetch = f"; on the server: rm {' '.join(again)}, then dgctl provision fetches it again" if again else ""
            return unhealthy(seen, signature.meaning, signature.remediation + fetch)
        return unhealthy(
            seen, fix=f"on the server: {logs(host, part)}; dgctl doctor --deep compares the files' checksums"
        )
    return healthy(f"{len(taken)} loaded, none refused") if taken else unknown("the log of its start does not say")


CHECKS = (
    Check(
        "models", files,
        "size and time of writing of each model file that the role recorded",
        "there, with the recorded size",
        "a download or a copy was cut off, or somebody removed the file",
        "dgctl provision (it fetches what is missing or damaged)",
        True, ("models.files",),
        stands_on=("disk",),
    ),
    Check(
        "models loaded", each("engine", loaded),
        "models that the Engine refused at its start, of files that are still there",
        "none refused",
        "the Engine cannot load a model file",
        "on the server: docker logs deepgram-engine | grep -i model; dgctl doctor --deep compares the files' checksums",
        False, ("models.none_refused",),
        stands_on=("models", "model checksums"),
    ),
)  # fmt: skip
CHECKSUMS = Check(
    "model checksums", checksums,
    "the SHA-256 of each model file against the one of its download",
    "as downloaded",
    "the file was damaged on this disk, or replaced",
    "dgctl provision after: rm FILE on the server (it fetches the file again)",
    stands_on=("models", "disk"),
)  # fmt: skip
