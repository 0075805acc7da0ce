"""What the proxy adds to a small request: the same client asks the API's own port and the proxy in turn."""

from __future__ import annotations

import io
import json
import wave
from typing import TYPE_CHECKING, Any

from bench import labs
from bench.world import World
from dgctl.bench import recording

if TYPE_CHECKING:
    from bench.parts.fleet import Fleet

ROUNDS = 300
SMALL_S = 0.25

# Runs on the proxy: nobody else reaches the API's port. Both ways keep their connection, as the SDK does.
PROBE = """
import http.client, json, ssl, statistics, sys, time
name, api, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
body = sys.stdin.buffer.read()
tls = ssl.create_default_context(cafile="/etc/nginx/tls/deepgram.crt")
ways = {
    "api": http.client.HTTPConnection(api, timeout=30),
    "proxy": http.client.HTTPSConnection("127.0.0.1", 443, context=tls, timeout=30),
}
tls.check_hostname = False
took = {way: [] for way in ways}
for number in range(rounds + 20):
    for way, connection in ways.items():
        began = time.perf_counter()
        connection.request(
            "POST", "/v1/listen?model=nova-3-general", body, {"Content-Type": "audio/wav", "Host": name}
        )
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"{way}: HTTP {answer.status}")
        if number >= 20:
            took[way].append(time.perf_counter() - began)
print(json.dumps({way: round(statistics.median(each) * 1000, 3) for way, each in took.items()}))
"""


def measure(world: World, fleet: Fleet) -> dict[str, Any]:
    """Medians in milliseconds; in turn, so that a machine that gets slower does so for both."""
    world.say("fleet: what the proxy adds")
    proxy, node = fleet.front, fleet.servers("node")[-1]
    command = f"exec python3 -c {labs.quoted(PROBE)} {proxy['name']} {node['address']}:8080 {ROUNDS}"
    found = json.loads(labs.sh(proxy["name"], command, small(SMALL_S)))
    return {"api_ms": found["api"], "proxy_ms": found["proxy"], "rounds": ROUNDS}


def small(seconds: float) -> bytes:
    """The first part of the recording, as a WAV."""
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(recording.RATE)
        sound.writeframes(recording.load().round[: int(seconds * recording.BYTES_A_SECOND)])
    return out.getvalue()
