"""HTTP requests of a bench: one client for a window, whatever its way to the API."""

from __future__ import annotations

from typing import Any

import httpx

from dgctl.bench.job import Job
from dgctl.verify import tls

CONNECTIONS = 1000
BUSY = (429, 503)  # what Deepgram's pages say of an Engine or an API that is full


def client(job: Job, limit_s: float) -> httpx.AsyncClient:
    """Waits for an answer so long; opens as many connections as requests are under way."""
    way = job.way
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    verify: Any = True if way.plain else tls.context(way)
    transport = httpx.AsyncHTTPTransport(verify=verify, uds=way.tunnel or None, limits=limits, trust_env=False)
    return httpx.AsyncClient(base_url=way.base_url, transport=transport, timeout=limit_s, trust_env=False)


def options(job: Job, content_type: str) -> dict[str, Any]:
    """What each request of the job has beside its target and its body."""
    headers = {"Host": job.way.authority, "Content-Type": content_type}
    return {"headers": headers, "extensions": {"sni_hostname": job.way.name}}
