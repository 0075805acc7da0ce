"""Deepgram's own SDK, unmodified, through the TLS proxy: a file and a live stream."""

import ssl
import threading
import time

import httpx
import pytest
from deepgram import DeepgramClient, DeepgramClientEnvironment

from tests.scenarios.support.servers import PROJECT

RECORDING = next((PROJECT / "dgctl/verify/audio").glob("*.wav"))
WORDS = RECORDING.with_suffix(".txt").read_text().lower().split()


@pytest.fixture
def client(server, tmp_path, monkeypatch):
    certificate = tmp_path / "deepgram.crt"
    certificate.write_text(server.sh("cat /etc/nginx/tls/deepgram.crt"))
    # The name in the certificate is the server's name in the inventory; the lab has no DNS on this machine.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    hosts = {server.name: server.address}
    resolve_for_this_process(monkeypatch, hosts)
    environment = DeepgramClientEnvironment(
        base=f"https://{server.name}",
        production=f"wss://{server.name}",
        agent=f"wss://{server.name}",
        agent_rest=f"https://{server.name}",
    )
    context = ssl.create_default_context(cafile=str(certificate))
    return DeepgramClient(api_key="any", environment=environment, httpx_client=httpx.Client(verify=context, timeout=60))


def resolve_for_this_process(monkeypatch, hosts):
    import socket

    real = socket.getaddrinfo

    def getaddrinfo(host, *rest, **options):
        name = host.decode() if isinstance(host, bytes) else host  # anyio's are bytes
        return real(hosts.get(name, name), *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_transcribe_a_file(client):
    answer = client.listen.v1.media.transcribe_file(
        request=RECORDING.read_bytes(), model="nova-3-general", smart_format=True
    )
    transcript = answer.results.channels[0].alternatives[0].transcript
    assert [word.strip(".,?") for word in transcript.lower().split()] == WORDS


def test_transcribe_a_live_stream(client):
    finals = []
    with client.listen.v1.connect(
        model="nova-3-general", encoding="linear16", sample_rate=16000, interim_results=True
    ) as stream:
        done = threading.Event()

        def on_message(message):
            if getattr(message, "type", "") == "Results" and message.is_final:
                finals.append(message.channel.alternatives[0].transcript)
            if getattr(message, "type", "") == "Metadata":
                done.set()

        stream.on("message", on_message)
        listener = threading.Thread(target=stream.start_listening, daemon=True)
        listener.start()
        pcm = RECORDING.read_bytes()[44:]
        for start in range(0, len(pcm), 3200):
            stream.send_media(pcm[start : start + 3200])
            time.sleep(0.02)
        stream.send_close_stream()
        assert done.wait(20), "no Metadata after CloseStream"
    assert [word.strip(".,?") for word in " ".join(finals).lower().split()] == WORDS
