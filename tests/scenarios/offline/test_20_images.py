"""Two servers that reach no registry: their images come as a file, uploaded once, and everything holds as with a registry."""

import select
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.home import DEFAULT, Home
from tests.scenarios.support.servers import PROJECT, Deployment, Server, lab_down, lab_up
from tests.scenarios.support.stories import with_all

pytestmark = with_all
NAME, REGISTRY = "images", "registry.lab.test"
Lab = tuple[Deployment, list[Server]]


class Tunnel(socketserver.BaseRequestHandler):
    """A company's HTTP proxy (RFC 9110, CONNECT): this machine's only way to the lab's registry."""

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(4096)
        host, _, port = head.split()[1].decode().partition(":")
        assert host == REGISTRY, host
        with socket.create_connection((self.server.registry, int(port)), 10) as there:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            other = {self.request: there, there: self.request}
            while True:
                for one in select.select([*other], [], [])[0]:
                    if not (data := one.recv(65536)):
                        return
                    other[one].sendall(data)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab_down(NAME)
    yield lab_up(NAME, PROJECT / f".cache/scenarios/{NAME}", "--nodes=2")
    lab_down(NAME)


@pytest.fixture(scope="module")
def registry() -> Iterator[dict[str, str]]:
    """The environment in which this machine reaches the registry."""
    where = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    asked = ["docker", "inspect", "--format", where, Home(DEFAULT).services]
    address = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.registry, server.daemon_threads = address, True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "HTTPS_PROXY": f"http://127.0.0.1:{server.server_address[1]}",
            "SSL_CERT_FILE": str(DEFAULT / "keys/ca.crt"),
        }
        server.shutdown()


@pytest.fixture(scope="module")
def archive(lab, registry, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("images") / "images.tar"
    run = Deployment(lab[0].folder, registry).dgctl("images save", "--to", str(file))
    assert run.exit_code == 0, run.problems() + run.stderr
    assert len(run.document["images"]) == 2 and file.stat().st_mode & 0o777 == 0o600
    return file


def test_without_the_file_preflight_names_the_registry(lab, archive):
    deployment, servers = lab
    for server in servers:
        server.sh(f"echo 127.0.0.1 {REGISTRY} >> /etc/hosts")
    run = deployment.dgctl("preflight")
    assert run.exit_code == 4 and REGISTRY in run.problems(), run.problems()


def test_a_torn_file_reaches_no_server(lab, archive, tmp_path):
    deployment, servers = lab
    torn = tmp_path / "torn.tar"
    torn.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    run = deployment.dgctl("images load", str(torn))
    assert run.exit_code == 2, run.problems()
    assert not any(server.has("/var/lib/deepgram/images") for server in servers)


def test_loaded_provisioned_and_in_sync(lab, archive):
    deployment, servers = lab
    run = deployment.dgctl("images load", str(archive))
    assert run.exit_code == 0, run.problems() + run.stderr
    assert all(server.has("/var/lib/deepgram/images/archive.tar") for server in servers)
    run = deployment.dgctl("provision", "--yes")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert {check["verdict"] for check in run.document["checks"]} <= {"pass", "skip"}
    pinned = (deployment.folder / "images.lock").read_text()
    for server in servers:
        runs = server.sh("docker inspect --format '{{.Config.Image}}' deepgram-api deepgram-engine").split()
        assert len(runs) == 2 and all(image.rpartition("@")[2] in pinned for image in runs), runs
    again = deployment.dgctl("provision", "--yes")
    assert {(host["state"], host["changed"]) for host in again.document["hosts"].values()} == {("ok", 0)}
