#!/usr/bin/env python3
"""Stand-in for Deepgram's licence server: says yes to the keys of one file. Simulated; one file, needs only aiohttp.

`license_server.py --port 8443 --key-file KEYS [--host 127.0.0.1] [--cert PEM --key PEM]`. KEYS holds one accepted key
a line and is read at each check-in, so that a key can be withdrawn. No key is ever logged.
"""

from __future__ import annotations

import argparse
import hmac
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

LICENSED_FOR = timedelta(hours=1)


def say(message: str) -> None:
    print(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} license-server: {message}", flush=True)


def accepted(header: str, key_file: Path) -> bool:
    """Whether the Authorization header carries one of the file's keys."""
    kind, _, given = header.partition(" ")
    keys = [line.strip() for line in key_file.read_text().splitlines() if line.strip()]
    return kind in ("Token", "Bearer") and any(hmac.compare_digest(given, key) for key in keys)


def application(key_file: Path) -> web.Application:
    async def check_in(request: web.Request) -> web.Response:
        try:
            about = await request.json()
            who = f"{about['component']} {about['release']} instance {about['instance_id']}"
        except (ValueError, KeyError, TypeError):
            return web.json_response({"err_code": "Bad Request", "err_msg": "not a check-in"}, status=400)
        if not accepted(request.headers.get("Authorization", ""), key_file):
            say(f"refused {who} from {request.remote}: 401 Unauthorized")
            return web.json_response({"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}, status=401)
        say(f"licensed {who} from {request.remote}")
        until = datetime.now(UTC) + LICENSED_FOR
        return web.json_response({"licensed": True, "licensed_until": until.isoformat(timespec="seconds")})

    async def status(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "simulated": True})

    app = web.Application()
    app.add_routes([web.post("/v1/checkin", check_in), web.get("/v1/status", status)])
    return app


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Simulated Deepgram licence server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key-file", type=Path, required=True, help="the accepted keys, one a line")
    parser.add_argument("--cert", type=Path, help="serve TLS with this certificate")
    parser.add_argument("--key", type=Path, help="the certificate's private key")
    chosen = parser.parse_args(arguments)
    tls = None
    if chosen.cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(chosen.cert, chosen.key)
    say("SIMULATED Deepgram licence server (lab stand-in)")
    web.run_app(
        application(chosen.key_file),
        host=chosen.host,
        port=chosen.port,
        ssl_context=tls,
        print=None,
        access_log=None,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
