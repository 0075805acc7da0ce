"""An ACME authority (Let's Encrypt's own pebble, with its DNS server), and a real NGINX that has its certificate from there.

pebble and pebble-challtestsrv: github.com/letsencrypt/pebble, README.md and cmd/pebble-challtestsrv/README.md; Debian's pebble.
certbot runs with the settings and the program of role nginx_proxy, in folders of the test's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

from tests.ports import free_port
from tests.roles_app.proxy.real_nginx import configuration
from tests.roles_app.rendering import render, value

PATH = f"{os.environ['PATH']}:/usr/sbin"
PROGRAMS = {name: shutil.which(name, path=PATH) for name in ("pebble", "pebble-challtestsrv", "certbot", "nginx")}
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
KID, HMAC = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
NAME = "speech.example.com"


def openssl(folder: Path, *words: str) -> str:
    return subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def signed(folder: Path, *names: str) -> None:
    """ca.pem, and a certificate c.pem with its key k.pem that it signed."""
    openssl(folder, "req", "-x509", *EC, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2",
            "-addext", "basicConstraints=critical,CA:TRUE")  # fmt: skip
    openssl(folder, "req", "-new", *EC, "-keyout", "k.pem", "-out", "r.csr", "-subj", "/CN=directory")
    (folder / "names").write_text("subjectAltName=" + ",".join(names) + "\n")
    openssl(folder, "x509", "-req", "-in", "r.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "c.pem")  # fmt: skip


class Authority:
    """pebble on ports of its own, at the address `at`. Every name leads to `server`, at whose `http_port` it asks for tokens."""

    def __init__(
        self, folder: Path, http_port: int, days: int = 90, binding: bool = False, start: bool = True,
        at: str = "127.0.0.1", server: str = "127.0.0.1",
    ) -> None:  # fmt: skip
        self.folder, self.children, self.at, self.server = folder, [], at, server
        self.port, self.management, self.dns, self.reported = (free_port() for _ in range(4))
        signed(folder, "DNS:localhost", "IP:127.0.0.1", *([f"IP:{at}"] if at != "127.0.0.1" else []))
        self.ca = folder / "ca.pem"
        settings = {
            "listenAddress": f"{at}:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(folder / "c.pem"),
            "privateKey": str(folder / "k.pem"),
            "httpPort": http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": binding,
            "externalAccountMACKeys": {KID: HMAC},
            "certificateValidityPeriod": days * 86400,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        if start:
            self.start()

    @property
    def directory(self) -> str:
        return f"https://{self.at}:{self.port}/dir"

    def start(self) -> None:
        answers = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", self.server, "-defaultIPv6", ""]
        dns = [*answers, "-dns01", f"127.0.0.1:{self.dns}", "-management", f"127.0.0.1:{self.reported}"]
        self._run("dns.log", [PROGRAMS["pebble-challtestsrv"], *dns])
        words = [PROGRAMS["pebble"], "-config", str(self.folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{self.dns}"]
        self._run("pebble.log", words, PEBBLE_VA_NOSLEEP="1", PEBBLE_AUTHZREUSE="0", PEBBLE_WFE_NONCEREJECT="0")
        self._wait(self.at, self.port)
        self._wait("127.0.0.1", self.reported)

    def _run(self, log: str, words: list[str | None], **environment: str) -> None:
        with (self.folder / log).open("w") as out:
            self.children.append(subprocess.Popen(words, stdout=out, stderr=out, env={**os.environ, **environment}))

    def _wait(self, at: str, port: int) -> None:
        for _ in range(200):
            with contextlib.suppress(OSError):
                return socket.create_connection((at, port), 1).close()
            time.sleep(0.05)
        raise AssertionError("".join(path.read_text() for path in self.folder.glob("*.log")))

    def root(self) -> str:
        """The certificate that its own lead to: another one at each start."""
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(
            f"https://127.0.0.1:{self.management}/roots/0", context=context, timeout=10
        ) as answer:
            return answer.read().decode()

    def log(self) -> str:
        return (self.folder / "pebble.log").read_text()

    def close(self) -> None:
        for child in reversed(self.children):
            child.terminate()
            child.wait(20)
        self.children.clear()


class Server:
    """NGINX with the role's site, and the role's program and settings of certbot. `port`: TLS; `http`: http-01's."""

    def __init__(self, folder: Path, http: int, **variables: object) -> None:
        self.folder, self.http, self.port, self.child = folder, http, free_port(), None
        self.config, self.retained = folder / "etc", folder / "lib"
        for path in (self.config, self.retained / "www", folder / "log", folder / "tls"):
            path.mkdir(parents=True)
        self.certificate, self.key = folder / "tls/deepgram.crt", folder / "tls/deepgram.key"
        openssl(folder / "tls", "req", "-x509", *EC, "-keyout", "deepgram.key", "-out", "deepgram.crt", "-subj", f"/CN={NAME}",
                "-days", "9")  # fmt: skip
        self.key.chmod(0o600)
        self.program = folder / "deepgram-acme"
        self.program.write_text(value("nginx_proxy", "_nginx_proxy_acme_files[0].content"))
        self.program.chmod(0o755)
        self.set(**variables)

    def set(self, **variables: object) -> None:
        """What the role writes for these variables."""
        nginx = [PROGRAMS["nginx"], "-e", f"{self.folder}/early.log", "-c", f"{self.folder}/nginx.conf"]
        settings: dict[str, object] = {
            "nginx_proxy_tls_source": "acme",
            "nginx_proxy_server_name": NAME,
            "nginx_proxy_port": self.port,
            "nginx_proxy_listen_ipv6": False,
            "nginx_proxy_nodes": [{"name": "gpu1", "address": "127.0.0.1:9", "profile": "all", "region": ""}],
            "nginx_proxy_acme_email": "ops@example.com",
            "nginx_proxy_acme_agree_tos": True,
            "nginx_proxy_acme_http_port": self.http,
            "__nginx_proxy_packages": {"installed": {"nginx": "1.22.1"}},
            "_nginx_proxy_certificate": str(self.certificate),
            "_nginx_proxy_key": str(self.key),
            "_nginx_proxy_acme_folder": str(self.config),
            "_nginx_proxy_acme_kept": str(self.retained),
            "_nginx_proxy_acme_logs": str(self.folder / "log"),
            "_nginx_proxy_acme_program": str(self.program),
            "_nginx_proxy_acme_test": [*nginx, "-t", "-q"],
            "_nginx_proxy_acme_reload": [*nginx, "-s", "reload"],
            **variables,
        }
        hmac = str(settings.get("nginx_proxy_acme_eab_hmac_key", ""))
        ini = render("nginx_proxy", "certbot.ini.j2", **settings).replace("${eab_hmac_key}", hmac)
        (self.config / "certbot.ini").write_text(ini)
        content = value("nginx_proxy", "_nginx_proxy_acme_content", **settings)
        (self.config / "acme.json").write_text(json.dumps(content))
        site = render("nginx_proxy", "deepgram.conf.j2", **settings).replace("/var/log/nginx", str(self.folder))
        (self.folder / "site.conf").write_text(site)
        (self.folder / "nginx.conf").write_text(configuration(self.folder, "nobody nogroup"))
        self.words = nginx

    def start(self) -> Server:
        self.child = subprocess.Popen([*self.words, "-g", "daemon off;"])
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            time.sleep(0.02)
        raise AssertionError((self.folder / "early.log").read_text())

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        words = [str(self.program), command, str(self.config / "acme.json")]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)

    def due(self) -> dict[str, object]:
        return json.loads(self.run("due").stdout)

    def state(self) -> dict[str, object]:
        return json.loads((self.retained / "state.json").read_text())

    def served(self, trust: str | None = None) -> dict[str, object]:
        """The certificate that callers see (serialNumber, subjectAltName ...), verified against this root alone.

        After a reload a worker of before may answer once more, with the certificate of before.
        """
        context, until = ssl.create_default_context(cadata=trust), time.monotonic() + 10
        while True:
            try:
                with (
                    socket.create_connection(("127.0.0.1", self.port), 10) as plain,
                    context.wrap_socket(plain, server_hostname=NAME) as secure,
                ):
                    return secure.getpeercert()
            except ssl.SSLCertVerificationError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def get(self, path: str, name: str = NAME) -> tuple[int, str]:
        """(status, body) at http-01's port."""
        with socket.create_connection(("127.0.0.1", self.http), 5) as stream:
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            reported = b""
            while part := stream.recv(65536):
                reported += part
        head, _, body = reported.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    def close(self) -> None:
        if self.child:
            self.child.terminate()
            self.child.wait(20)
