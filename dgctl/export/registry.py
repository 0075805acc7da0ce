"""Takes images from a registry, byte for byte (OCI distribution specification: pull), without a container engine."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any

from dgctl import content
from dgctl.base.errors import DgctlError, Exit, Problem

TIMEOUT_S = 60  # without a byte
LARGEST_MANIFEST = 4 << 20  # bytes, which registries have to take (OCI distribution specification: pushing manifests)
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REACH = "see that this machine reaches the registry, and try again"
ACCOUNT = "check deepgram_registry_username and deepgram_registry_password"
RELEASE = "check deepgram_release, deepgram_image_digests and images.lock beside the inventory: the registry lacks it"


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index as the registry has it."""

    digest: str
    form: str  # its media type
    data: bytes

    @property
    def fields(self) -> Mapping[str, Any]:
        found = json.loads(self.data)
        return found if isinstance(found, dict) else {}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Blobs lie elsewhere; whoever has them is not to get the registry's account."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


class Repository:
    """One repository of a registry, such as quay.io/deepgram/self-hosted-api, with an account; "" asks without one."""

    def __init__(self, name: str, user: str, password: str):
        self.name, (self.host, _, self.path) = name, name.partition("/")
        self._registry = content.utility("containers.registry").Registry(self.host, user, password, TIMEOUT_S)
        self._accept = content.utility("containers.registry").MANIFESTS
        self._headers: dict[str, str] | None = None

    def manifest(self, reference: str) -> Manifest:
        """By tag or digest; one by digest is what the digest says, or refused."""
        with self._opened("manifests", reference, {"Accept": self._accept}) as answer:
            data = answer.read(LARGEST_MANIFEST + 1)
            form = answer.headers.get_content_type()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if len(data) > LARGEST_MANIFEST or (DIGEST.fullmatch(reference) and digest != reference):
            raise self._refused(reference, "what came is not what its digest says", REACH)
        try:
            fields = Manifest(digest, form, data).fields
        except ValueError:
            raise self._refused(reference, "what came is no manifest", REACH) from None
        return Manifest(digest, str(fields.get("mediaType") or form), data)

    def blob(self, digest: str) -> http.client.HTTPResponse:
        """The answer that has the blob; to be closed by who reads it."""
        return self._opened("blobs", digest, {})

    def _opened(self, kind: str, reference: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        known = self._headers is not None
        try:
            return self._ask(kind, reference, headers)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 401 and known:  # a token lasts minutes, an Engine's blobs take longer
                    self._headers = None
                    return self._opened(kind, reference, headers)
                fix = RELEASE if error.code == 404 else ACCOUNT if error.code in (401, 403) else REACH
                raise self._refused(reference, f"HTTP {error.code}", fix) from None
        except (OSError, http.client.HTTPException) as error:
            https = content.utility("host.https")
            why = https.reason(error)
            raise self._refused(reference, why, https.advice(why, self.host)) from None

    def _ask(self, kind: str, reference: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        url = f"https://{self.host}/v2/{self.path}/{kind}/{reference}"
        secured = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        asked = urllib.request.Request(url, headers={**headers, **self._account()})
        try:
            return urllib.request.build_opener(secured, _NoRedirect()).open(asked, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            place = error.headers.get("Location", "") if error.code in (301, 302, 303, 307, 308) else ""
            if not place.startswith("https://"):
                raise
            error.close()
        return urllib.request.build_opener(secured).open(urllib.request.Request(place), timeout=TIMEOUT_S)

    def _account(self) -> dict[str, str]:
        if self._headers is None:
            self._headers, error, fix = self._registry.login(self.path)
            if error:
                raise DgctlError(Problem(f"the registry lets nobody in: {error}", self.host, fix=fix), Exit.USAGE)
        return self._headers or {}

    def _refused(self, reference: str, why: str, fix: str) -> DgctlError:
        sign = "@" if DIGEST.fullmatch(reference) else ":"
        return DgctlError(
            Problem(f"the image cannot be taken from the registry: {why}", f"{self.name}{sign}{reference}", fix=fix),
            Exit.USAGE,
        )
