"""Deepgram's SDK for one address: TLS against a given certificate, a name that no DNS knows."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from typing import Any

import httpx
from deepgram import AsyncDeepgramClient, DeepgramClientEnvironment
from deepgram.core.api_error import ApiError

CONNECTIONS = 200


@dataclass(frozen=True)
class Target:
    """Where the load goes. `address`: the IP address that `name` has; `certificate`: a PEM file to trust."""

    name: str
    address: str = ""
    certificate: str = ""
    port: int = 443
    model: str = "nova-3-general"
    tls: bool = True

    def url(self, scheme: str) -> str:
        return f"{scheme}{'s' if self.tls else ''}://{self.name}:{self.port}"


def connect(target: Target, timeout_s: float) -> AsyncDeepgramClient:
    """The client. Process-wide: the name's address, and SSL_CERT_FILE, by which the SDK's streams find the certificate."""
    if target.address:
        resolve(target.name, target.address)
    if target.certificate:
        os.environ["SSL_CERT_FILE"] = target.certificate
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    verify = ssl.create_default_context(cafile=target.certificate or None)
    http = httpx.AsyncClient(verify=verify, timeout=timeout_s, limits=limits, trust_env=False)
    environment = DeepgramClientEnvironment(
        base=target.url("http"), production=target.url("ws"), agent=target.url("ws"), agent_rest=target.url("http")
    )
    return AsyncDeepgramClient(api_key="any", environment=environment, httpx_client=http)


def resolve(name: str, address: str) -> None:
    """Lets this process find `address` under `name`."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        return real(address if host in (name, name.encode()) else host, *rest, **options)

    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]


def cause(error: BaseException) -> str:
    """An error and what led to it, in a line: what the SDK raises often says nothing by itself."""
    if isinstance(error, ApiError):
        body = error.body.get("err_msg", error.body) if isinstance(error.body, dict) else error.body
        return f"HTTP {error.status_code}: {body}"
    reported = f"{type(error).__name__}: {error}".strip(": ")
    before = error.__cause__ or error.__context__
    return f"{reported} <- {cause(before)}" if before is not None else reported
