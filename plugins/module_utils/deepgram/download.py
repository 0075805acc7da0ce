"""Downloads one large file over HTTP: resumed, retried, hashed on the way, in constant memory."""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import namedtuple

CHUNK = 1 << 20  # bytes read at a time
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # HTTP codes that may pass by themselves
REFUSED = "ask your Deepgram representative for a fresh link, and put it into deepgram_models_links"

# total: bytes or None; validator: a strong ETag or a date for If-Range, "" when the server gives neither
Remote = namedtuple("Remote", "total validator")
Fetched = namedtuple("Fetched", "sha256 size downloaded resumed")


class DownloadError(Exception):
    """A download that a retry does not fix. `str()` is what happened, `fix` what to do."""

    def __init__(self, what, fix):
        super().__init__(what)
        self.fix = fix


class _Transient(Exception):
    """Worth another attempt."""


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DownloadError(f"{shown(req.full_url)} redirects to a link without TLS", REFUSED)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_NoDowngrade)


def shown(url):
    """Host and path of a link: a query may be a signature, user information a password."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def file_name(url):
    """The name that the linked file gets; raises DownloadError on a link that names no model file."""
    parts = urllib.parse.urlsplit(url)
    name = urllib.parse.unquote(parts.path.rpartition("/")[2])
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadError(f"the model link {shown(url)!r} is not an http(s) URL", REFUSED)
    if name.startswith(".") or "/" in name or not name.endswith((".dg", ".dgv2")):
        raise DownloadError(
            f"the model link {shown(url)!r} does not end in the name of a .dg or .dgv2 file",
            "use the link of one model file, not of a folder or a page",
        )
    return name


def sha256_of(path, limit=None):
    """Hash object over the first `limit` bytes of a file (all of it by default)."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while limit is None or limit > 0:
            data = file.read(CHUNK if limit is None else min(CHUNK, limit))
            if not data:
                break
            digest.update(data)
            limit = None if limit is None else limit - len(data)
    return digest


def _open(url, headers, timeout):
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers})
    try:
        return _OPENER.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in AGAIN:
            raise _Transient(f"HTTP {error.code}") from None
        if error.code == 416:
            return None
        raise DownloadError(f"{shown(url)} answers HTTP {error.code} {error.reason}", REFUSED) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise DownloadError(
                f"{shown(url)} has a certificate that this server does not trust: {error.reason.verify_message}",
                "add the certificate authority to the server's trust store, or set its clock right",
            ) from None
        raise _Transient(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Transient(str(error) or type(error).__name__) from None


def _remote(response):
    """Size and validator of what a response is a part of."""
    total = response.headers.get("Content-Length")
    if response.status == 206:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    return Remote(int(total) if total and total.isdigit() else None, validator)


def with_retries(action, url, retries, sleep=time.sleep):
    """Runs action() until it works; `retries` counts attempts in a row that brought no progress.

    action may raise _Transient; `action.progress` (optional) grows as bytes arrive.
    """
    failed, seen = 0, getattr(action, "progress", 0)
    while True:
        try:
            return action()
        except _Transient as error:
            progress = getattr(action, "progress", 0)
            failed, seen = (1 if progress > seen else failed + 1), progress
            if failed > retries:
                raise DownloadError(
                    f"{shown(url)} could not be downloaded in {failed} attempts: {error}",
                    "check that this server reaches the link, then run again: what has arrived is kept",
                ) from None
            sleep(min(30, 2 ** (failed - 1)))


def probe(url, timeout, retries, sleep=time.sleep):
    """Remote(total, validator), by asking for one byte: a signed link often refuses HEAD."""

    def ask():
        response = _open(url, {"Range": "bytes=0-0"}, timeout)
        if response is None:
            return Remote(0, "")
        with response:
            return _remote(response)

    return with_retries(ask, url, retries, sleep)


class Transfer:
    """One file on its way into `partial`, beside which a small JSON file remembers what it is a part of."""

    def __init__(self, url, partial, timeout):
        self.url, self.partial, self.timeout = url, partial, timeout
        self.memory = partial + ".json"
        # progress is the furthest byte reached: a server that cannot resume must not look like one that advances
        self.progress, self.received, self.resumed = 0, 0, False
        self.remote, self.offset, self.digest = Remote(None, ""), 0, hashlib.sha256()
        self._recall()

    def _recall(self):
        """Continues what an earlier run left, if it is known what that was a part of."""
        try:
            with open(self.memory) as file:
                remote = Remote(**json.load(file))
            size = os.path.getsize(self.partial)
        except (OSError, ValueError, TypeError):
            return
        if remote.validator and (remote.total is None or size <= remote.total):
            self.remote, self.offset, self.digest = remote, size, sha256_of(self.partial)
            self.progress, self.resumed = size, size > 0

    def discard(self):
        """Forgets all that has arrived."""
        for path in (self.partial, self.memory):
            if os.path.exists(path):
                os.unlink(path)
        self.remote, self.offset, self.digest = Remote(None, ""), 0, hashlib.sha256()
        self.resumed = False

    def __call__(self):
        """Fetches what is missing. Raises _Transient when another attempt may bring more."""
        if self.remote.total is None or self.offset < self.remote.total or not self.remote.validator:
            with self._request() as response:
                self._receive(response)
        return Fetched(self.digest.hexdigest(), self.offset, self.received, self.resumed)

    def _request(self):
        """A response whose first byte belongs at self.offset."""
        headers = {}
        if self.offset and self.remote.validator:
            headers = {"Range": f"bytes={self.offset}-", "If-Range": self.remote.validator}
        response = _open(self.url, headers, self.timeout)
        if response is None:  # 416: the file is shorter than what is here
            self.discard()
            raise _Transient("the file on the server has changed")
        if response.status == 206:
            first = response.headers.get("Content-Range", "").partition(" ")[2].partition("-")[0]
            if first == str(self.offset) and _remote(response) == self.remote:
                return response
            response.close()
            self.discard()
            raise _Transient("the server sent another part than the one asked for")
        self.discard()
        self.remote = _remote(response)
        with open(self.memory, "w") as file:
            json.dump(self.remote._asdict(), file)
        return response

    def _receive(self, response):
        try:
            with open(self.partial, "ab") as file:
                self._copy(response, file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self.discard()
            raise DownloadError(
                f"the disk filled up while {os.path.basename(self.partial)} was being written",
                "free space on the disk that holds deepgram_models_dir",
            ) from None
        if self.remote.total is not None and self.offset != self.remote.total:
            if self.offset > self.remote.total:
                self.discard()
            raise _Transient(f"the connection ended after {self.offset} of {self.remote.total} bytes")

    def _copy(self, response, file):
        while True:
            try:
                data = response.read(CHUNK)
            except (socket.timeout, TimeoutError):  # two different ones before Python 3.10
                raise _Transient(f"nothing arrived for {self.timeout} s") from None
            except (ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
                raise _Transient(str(error) or type(error).__name__) from None
            if not data:
                return
            file.write(data)
            self.digest.update(data)
            self.offset += len(data)
            self.received += len(data)
            self.progress = max(self.progress, self.offset)


def fetch(url, partial, timeout, retries, sleep=time.sleep):
    """Downloads `url` into `partial`, synced to disk: Fetched. Raises DownloadError."""
    transfer = Transfer(url, partial, timeout)
    return with_retries(transfer, url, retries, sleep)
