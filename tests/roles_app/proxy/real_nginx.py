"""A real NGINX with the role's site, on ports and in files of a test's own, before an API that notes what it was sent."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests import tls_server
from tests.ports import free_port
from tests.roles_app.conftest import ROOT
from tests.roles_app.rendering import render

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


def configuration(folder: Path, user: str) -> str:
    """An nginx.conf for the site.conf beside it; NGINX writes in this folder alone. `user`: its workers', where root runs it."""
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{f'user {user};' if os.getuid() == 0 else ''}\nworker_processes 1;\npid {folder}/pid;\n"
        f"error_log {folder}/error.log;\nevents {{ worker_connections 512; }}\n"
        f"http {{\n{temporary}include {folder}/site.conf;\n}}\n"
    )


class Api(BaseHTTPRequestHandler):
    """Answers each request; a WebSocket's with 101, and with what then comes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.heard.append(dict(self.headers.items()))
        self.server.asked.append(f"{self.command} {self.path}")
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            while part := self.connection.recv(100):
                self.connection.sendall(part)
            self.close_connection = True
            return
        self._read()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def _read(self):
        """The whole body, as its framing says: what is left of it would be the next request."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()

    def log_message(self, *_):
        pass


class Proxy:
    """NGINX, the program of callers, and the API. `ask(...)` sends one request and gives (status, head, body)."""

    def __init__(self, folder, certificate, **variables):
        self.folder, self.port, self.children = folder, free_port(), []
        self.api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        if secured := variables.pop("api_context", None):
            tls_server.secure(self.api, secured)
            self.api.handle_error = lambda *_: None  # who refuses its certificate is no error of the API's
        self.api.heard, self.api.asked = [], []
        threading.Thread(target=self.api.serve_forever, daemon=True).start()
        self.sock = str(folder / "callers.sock")
        self._nginx(certificate, variables)

    def _nginx(self, certificate, variables):
        node = {"tls": True} if "_nginx_proxy_api_ca" in variables else {}
        reported = subprocess.run([NGINX, "-v"], capture_output=True, text=True).stderr
        text = render(
            "nginx_proxy",
            "deepgram.conf.j2",
            __nginx_proxy_packages={"installed": {"nginx": re.search(r"/([\d.]+)", reported)[1]}},
            nginx_proxy_port=self.port,
            nginx_proxy_listen_ipv6=False,
            nginx_proxy_nodes=[
                {"name": "gpu1", "address": f"127.0.0.1:{self.api.server_port}", "profile": "all", "region": "", **node}
            ],
            _nginx_proxy_callers_listen=self.sock,
            _nginx_proxy_certificate=certificate,
            _nginx_proxy_key=certificate,
            **variables,
        ).replace("/var/log/nginx", str(self.folder))
        (self.folder / "site.conf").write_text(text)
        (self.folder / "nginx.conf").write_text(configuration(self.folder, "root"))
        words = [NGINX, "-p", str(self.folder), "-e", f"{self.folder}/early.log", "-c", f"{self.folder}/nginx.conf"]
        self.children.append(subprocess.Popen([*words, "-g", "daemon off;"]))
        self._wait()

    def _wait(self):
        for _ in range(100):
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self.folder / "early.log").read_text())

    def start_callers(self, config, own):
        """The program, with the socket as systemd hands it over (LISTEN_FDS, file descriptor 3)."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.sock)
        listener.listen()
        code = (
            "import os, runpy, sys\n"
            f"os.dup2({listener.fileno()}, 3)\nos.environ['LISTEN_FDS'] = '1'\n"
            f"sys.argv = ['x', 'serve']\nspace = runpy.run_path({str(ROOT / 'roles/nginx_proxy/files/callers.py')!r})\n"
            f"space['serve'].__globals__.update(CONFIG={str(config)!r}, OWN={str(own)!r})\n"
            "space['own_key']()\nspace['serve'](space['handed_over']())\n"
        )
        child = subprocess.Popen([sys.executable, "-c", code], pass_fds=[listener.fileno()])
        listener.close()
        self.children.append(child)
        return child

    def open(self, cert=None, protocols=()):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if cert:
            context.load_cert_chain(cert)
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 10))

    def ask(self, path="/v1/listen", method="POST", headers=(), cert=None, keep=False):
        stream = self.open(cert)
        lines = [f"{method} {path} HTTP/1.1", "Host: gpu1", *(f"{name}: {text}" for name, text in headers)]
        lines += ["Content-Length: 0"] if method == "POST" else []
        lines += [] if keep else ["Connection: close"]
        stream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        reported = b""
        while b"\r\n\r\n" not in reported or not keep:
            part = stream.recv(65536)
            if not part:
                break
            reported += part
        head, _, body = reported.partition(b"\r\n\r\n")
        answer = int(head.split()[1]), head.decode().lower(), body
        return (*answer, stream) if keep else answer

    def log(self, name="deepgram.access.log"):
        return (self.folder / name).read_text() if (self.folder / name).exists() else ""

    def close(self):
        for child in self.children:
            child.terminate()
            child.wait()
        self.api.shutdown()
        self.api.server_close()
