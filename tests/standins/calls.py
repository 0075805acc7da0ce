"""What the tests ask of a running API and Engine."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from websockets.sync.client import connect

from .bench import get

AUDIO = Path(__file__).resolve().parents[2] / "dgctl" / "verify" / "audio"
WAV = AUDIO / "life-moves-pretty-fast.wav"
TEXT = (AUDIO / "life-moves-pretty-fast.txt").read_text().strip()
MODEL = "model=nova-3-general"


def stream(api, query: str = f"{MODEL}&encoding=linear16&sample_rate=16000"):
    return connect(f"ws://127.0.0.1:{api.ports['http']}/v1/listen?{query}")


def send_file(api, query: str = MODEL, content: bytes | None = None) -> httpx.Response:
    url = f"http://127.0.0.1:{api.ports['http']}/v1/listen?{query}"
    return httpx.post(url, content=WAV.read_bytes() if content is None else content, timeout=20)


def transcript(answer: httpx.Response) -> str:
    return answer.json()["results"]["channels"][0]["alternatives"][0]["transcript"]


def metric(engine, name: str) -> float:
    text = get(engine, "/metrics", "metrics").text
    return float(next(line for line in text.splitlines() if line.startswith(name + " ")).split()[1])


def until(true, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.03)


def answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=2)
    except httpx.ConnectError:
        return False
    except httpx.HTTPError:
        return True
    return True
