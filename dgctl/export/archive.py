"""Writes images into an archive, as plugins/module_utils/containers/archive.py reads it: complete, or not there."""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dgctl import content
from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.export.registry import INDEXES, REACH, Manifest, Repository

ATTEMPTS = 3
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # here, and no fault of the registry's
NAME = "org.opencontainers.image.ref.name"  # OCI image specification, annotations.md


def shape() -> Any:
    """The module that reads archives, on servers too."""
    return content.utility("containers.archive")


@dataclass(frozen=True)
class Image:
    """What to take: REPOSITORY:RELEASE as servers ask for it, and its digest; "" takes what the tag leads to."""

    name: str
    digest: str
    user: str = ""
    password: str = ""


class Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class Hashed:
    """A stream, and the digest of what was read from it."""

    def __init__(self, stream: Readable):
        self.stream, self.found = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self.stream.read(size)
        self.found.update(piece)
        return piece


def save(file: Path, images: Iterable[Image], architecture: str, tell: Callable[[str], None]) -> dict[str, str]:
    """Writes the archive; {REPOSITORY:RELEASE: digest}. A torn one never has the file's name, and none is overwritten by one.

    Raises OSError where this machine refuses the file, DgctlError for what the registry has not.
    """
    part = file.with_name(file.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as stream:
            with tarfile.open(fileobj=stream, mode="w:", format=tarfile.PAX_FORMAT) as tar:
                found = Writer(tar, architecture, tell).write(images)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return found


class Writer:
    """Images on their way into a tar; what two of them have in common is taken once."""

    def __init__(self, tar: tarfile.TarFile, architecture: str, tell: Callable[[str], None]):
        self.tar, self.architecture, self.tell = tar, architecture, tell
        self.held: set[str] = set()
        self.manifests: dict[str, str] = {}
        self.entries: list[dict[str, Any]] = []

    def write(self, images: Iterable[Image]) -> dict[str, str]:
        found = {image.name: self._image(image) for image in images}
        self._file("oci-layout", {"imageLayoutVersion": "1.0.0"})
        self._file("index.json", {"schemaVersion": 2, "manifests": self.entries})
        about = {
            "format": shape().FORMAT,
            "architecture": self.architecture,
            "images": found,
            "manifests": self.manifests,
        }
        self._file(shape().ABOUT, about)
        return found

    def _image(self, image: Image) -> str:
        """Takes one image with all that it needs; its digest."""
        name, _, release = image.name.rpartition(":")
        repository = Repository(name, image.user, image.password)
        top = repository.manifest(image.digest or release)
        own = repository.manifest(self._of_architecture(image, top)) if top.form in INDEXES else top
        before = self.tar.offset
        try:
            needed = [own.fields["config"], *own.fields["layers"]]
            for each in needed:
                self._blob(repository, str(each["digest"]), int(each["size"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._problem(image, f"its manifest cannot be read ({type(error).__name__})", REACH) from None
        self._require(image, repository, own)
        for manifest in dict.fromkeys((own, top)):
            self._manifest(manifest)
        entry = {"mediaType": top.form, "digest": top.digest, "size": len(top.data), "annotations": {NAME: image.name}}
        self.entries.append(entry)
        self.tell(f"{image.name}: {(self.tar.offset - before) / 1e6:,.1f} MB")
        return top.digest

    def _of_architecture(self, image: Image, index: Manifest) -> str:
        """The digest of the index's manifest for the architecture."""
        found = {}
        for each in index.fields.get("manifests") or []:
            platform = each.get("platform") or {}
            if platform.get("os") == "linux":
                found.setdefault(str(platform.get("architecture")), str(each["digest"]))
        if self.architecture not in found:
            raise self._other(image, ", ".join(sorted(found)) or "none")
        return found[self.architecture]

    def _require(self, image: Image, repository: Repository, manifest: Manifest) -> None:
        """Raises DgctlError for an image of another architecture: one without an index says so in its configuration alone."""
        with repository.blob(str(manifest.fields["config"]["digest"])) as answer:
            architecture = str(json.loads(answer.read()).get("architecture"))
        if architecture != self.architecture:
            raise self._other(image, architecture)

    def _other(self, image: Image, architectures: str) -> DgctlError:
        return self._problem(image, f"it is there for {architectures}, and not for {self.architecture}", "see --arch")

    def _blob(self, repository: Repository, digest: str, size: int) -> None:
        """Copies a blob, and tries again what broke off; what is not what its digest says is never kept."""
        if digest in self.held:
            return
        position, why = self.tar.offset, ""
        for _attempt in range(ATTEMPTS):
            self._back_to(position)
            with repository.blob(digest) as answer:
                stream = Hashed(answer)
                try:
                    self.tar.addfile(_member(shape().blob(digest), size), stream)  # type: ignore[arg-type]
                except (OSError, http.client.HTTPException, tarfile.TarError) as error:
                    if getattr(error, "errno", None) in NO_ROOM:
                        raise
                    why = str(error) or type(error).__name__
                    continue
            if f"sha256:{stream.found.hexdigest()}" == digest:
                self.held.add(digest)
                return
            why = "what came is not what its digest says"
        raise DgctlError(
            Problem(f"a part of an image does not arrive: {why}", f"{repository.name}@{digest}", fix=REACH), Exit.USAGE
        )

    def _back_to(self, position: int) -> None:
        stream = self.tar.fileobj
        assert stream
        stream.seek(position)
        stream.truncate()
        self.tar.offset = position

    def _manifest(self, manifest: Manifest) -> None:
        self.manifests[manifest.digest] = manifest.form
        if manifest.digest not in self.held:
            self.held.add(manifest.digest)
            self._bytes(shape().blob(manifest.digest), manifest.data)

    def _file(self, name: str, fields: Mapping[str, Any]) -> None:
        self._bytes(name, json.dumps(fields, indent=1, sort_keys=True).encode())

    def _bytes(self, name: str, data: bytes) -> None:
        self.tar.addfile(_member(name, len(data)), io.BytesIO(data))

    @staticmethod
    def _problem(image: Image, what: str, fix: str) -> DgctlError:
        return DgctlError(Problem(what, image.name, fix=fix), Exit.USAGE)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member
