"""A registry with small images as Deepgram's are named, and an archive that was saved from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dgctl.export import archive
from lab.containers.tarball import tar_of
from lab.deepgram import oci
from tests.roles.conftest import certificate, https  # noqa: F401 - the TLS server that the registry is

RELEASE = "release-260812"
USER, PASSWORD = "deepgram+customer", "s3cret-and-long"
INDEX = "application/vnd.oci.image.index.v1+json"


class Registry:
    """Answers pulls as quay.io does: a token by Bearer, blobs elsewhere by a redirect (OCI distribution specification: pull).

    `asked`: path and whether an account or a token came with it. `blobs` and `manifests`: by digest; `tags`: by NAME:TAG.
    """

    def __init__(self, start: Callable[..., str], folder: Path):
        self.folder, self.host, self.store = folder, start(self._answer), start(self._stored)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        self.asked: list[tuple[str, bool]] = []
        self.given, self.used, self.lasts = 0, 0, 1000  # tokens, and how many requests one is good for
        self.torn = 0  # so many blobs end early

    def name(self, image: str) -> str:
        return f"{self.host}/deepgram/{image}"

    def push(self, image: str, tag: str = RELEASE, text: str = "", index: bool = True, arch: str = "amd64") -> str:
        """An image of one layer that says `text`; its digest, of the index where it has one."""
        layer = oci.compress(
            [tar_of({"hello": ((text or image).encode(), 0o644)})], self.folder / f"{image}-{tag}.tar.gz"
        )
        made = oci.image([layer], {"Cmd": ["/hello"]}, self.folder, arch)
        self.blobs |= {blob.digest: blob.path.read_bytes() for blob in made.blobs}
        self.manifests[made.digest] = (oci.MANIFEST_TYPE, made.manifest)
        digest = made.digest
        if index:
            one = {"mediaType": oci.MANIFEST_TYPE, "digest": made.digest, "size": len(made.manifest)}
            # What buildkit adds is for no platform, and is not there to be fetched.
            other = {**one, "digest": f"sha256:{'0' * 64}", "platform": {"os": "unknown", "architecture": "unknown"}}
            entries = [{**one, "platform": {"os": "linux", "architecture": arch}}, other]
            data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            self.manifests[digest] = (INDEX, data)
        self.tags[f"{image}:{tag}"] = digest
        return digest

    def _answer(self, method: str, path: str, headers: Any) -> tuple[int, dict[str, str], bytes]:
        account = headers.get("Authorization", "")
        self.asked.append((path, bool(account)))
        if path.startswith("/token"):
            self.given, self.used = self.given + 1, 0
            return 200, {}, json.dumps({"token": f"t{self.given}"}).encode()
        self.used += 1
        if account != f"Bearer t{self.given}" or self.used > self.lasts:
            return 401, {"WWW-Authenticate": f'Bearer realm="https://{self.host}/token",service="quay.io"'}, b""
        *_, image, kind, reference = path.split("/")
        if kind == "blobs":
            return 302, {"Location": f"https://{self.store}/{reference}"}, b""
        digest = self.tags.get(f"{image}:{reference}", reference)
        if digest not in self.manifests:
            return 404, {}, b"{}"
        form, data = self.manifests[digest]
        return 200, {"Content-Type": form}, data

    def _stored(self, method: str, path: str, headers: Any) -> tuple[int, dict[str, str], bytes]:
        data = self.blobs[path.strip("/")]
        self.asked.append(("elsewhere", bool(headers.get("Authorization"))))
        if self.torn > 0:
            self.torn -= 1
            return 200, {"Content-Length": str(len(data)), "Connection": "close"}, data[: len(data) // 2]
        return 200, {}, data


@pytest.fixture
def registry(https: Callable[..., str], tmp_path: Path) -> Registry:  # noqa: F811
    folder = tmp_path / "registry"
    folder.mkdir()
    return Registry(https, folder)


@pytest.fixture
def saved(registry: Registry, tmp_path: Path) -> Iterator[Path]:
    """An archive of the API's and the Engine's image."""
    desired = []
    for image in ("self-hosted-api", "self-hosted-engine"):
        registry.push(image)
        desired.append(archive.Image(f"{registry.name(image)}:{RELEASE}", "", USER, PASSWORD))
    file = tmp_path / "images.tar"
    archive.save(file, desired, "amd64", lambda text: None)
    return file
