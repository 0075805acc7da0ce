"""OCI images by hand: layers (reproducible tar.gz), a configuration, a manifest. Same input, same digest."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20
CREATED = "1970-01-01T00:00:00Z"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Blob:
    """A file of an image, in `path`; `diff_id` is the digest of a layer before its compression."""

    path: Path
    digest: str
    size: int
    diff_id: str = ""


@dataclass(frozen=True)
class Image:
    """A manifest (bytes) and the blobs it names."""

    manifest: bytes
    blobs: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.manifest).hexdigest()


def compress(tar: Iterable[bytes], path: Path, level: int = 4) -> Blob:
    """Writes blocks of a tar as a layer; what a layer is called after is kept beside it, for `known`."""
    plain = hashlib.sha256()
    partial = path.with_suffix(".partial")
    with partial.open("wb") as raw, gzip.GzipFile("", "wb", level, raw, mtime=0) as out:
        for block in tar:
            plain.update(block)
            out.write(block)
    diff_id = "sha256:" + plain.hexdigest()
    path.with_suffix(".diff_id").write_text(diff_id)
    partial.replace(path)
    return known(path)


def known(path: Path) -> Blob:
    """A layer that `compress` wrote."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Blob(path, "sha256:" + digest, path.stat().st_size, path.with_suffix(".diff_id").read_text())


def image(layers: list[Blob], config: dict, directory: Path, architecture: str = "amd64") -> Image:
    """An image of these layers; its configuration is written into `directory` as a blob."""
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": CREATED,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": CREATED, "created_by": "dgctl lab"} for _ in layers],
    }
    content = json.dumps(document, sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    path = directory / f"{digest}.json"
    path.write_bytes(content)
    blob = Blob(path, "sha256:" + digest, len(content))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": _CONFIG_TYPE, "digest": blob.digest, "size": blob.size},
        "layers": [{"mediaType": _LAYER_TYPE, "digest": one.digest, "size": one.size} for one in layers],
    }
    return Image(json.dumps(manifest, sort_keys=True).encode(), (*layers, blob))
