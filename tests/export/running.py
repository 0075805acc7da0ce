"""HAProxy, Apache and NGINX with an exported configuration, on ports and in files of a test's own."""

import contextlib
import glob
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

from tests.ports import free_port

PATH = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
PROGRAMS = {
    "haproxy": shutil.which("haproxy", path=PATH),
    "apache": shutil.which("apache2", path=PATH) or shutil.which("httpd", path=PATH),
    "nginx": shutil.which("nginx", path=PATH),
}
MODULES = (*glob.glob("/usr/lib/apache2/modules"), *glob.glob("/usr/lib64/httpd/modules"))
# Those that the configuration names, and what an Apache needs to start at all (access_compat is Debian's, and not needed).
APACHE = (
    *("alias", "authz_core", "authz_host", "headers", "lbmethod_bybusyness", "mpm_event", "proxy", "proxy_balancer"),
    *("proxy_hcheck", "proxy_http", "proxy_wstunnel", "rewrite", "slotmem_shm", "socache_shmcb", "ssl", "unique_id"),
    *("watchdog", "log_config", "unixd"),
)


class Proxy:
    """One of the programs before APIs. `texts`: the export's files; `apis`: the address that stands in them -> the API."""

    def __init__(self, program, folder, texts, apis, certificate):
        self.program, self.folder, self.port = program, folder, free_port()
        self.children, self.apis, self.certificate = [], apis, certificate
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.moved(text))
        self.words, self.check = getattr(self, f"_{program}")()

    def moved(self, text):
        """The text with this test's ports, files and APIs in the places of the real ones."""
        for address, api in self.apis.items():
            text = text.replace(address, api.address)
        for old, new in {
            "bind :443 ": f"bind 127.0.0.1:{self.port} ",
            "log /dev/log local0": "log stdout format raw local0",
            "/run/haproxy/admin.sock": f"{self.folder}/admin.sock",
            "/etc/haproxy/deepgram.pem": self.certificate,
            "Listen 443": f"Listen 127.0.0.1:{self.port}",
            "<VirtualHost *:443>": f"<VirtualHost *:{self.port}>",
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            "/etc/ssl/deepgram/deepgram.crt": self.certificate,
            "/etc/ssl/deepgram/deepgram.key": self.certificate,
            "/etc/nginx/tls/deepgram.crt": self.certificate,
            "/etc/nginx/tls/deepgram.key": self.certificate,
            "/var/log/apache2": str(self.folder),
            "/var/log/nginx": str(self.folder),
            "/etc/nginx/deepgram/upstreams.json": f"{self.folder}/upstreams.json",
            "/var/lib/deepgram-upstreams": str(self.folder),
            "/run/deepgram-upstreams": f"{self.folder}/run",
            '"/run/nginx.pid"': f'"{self.folder}/pid"',
            '["nginx", "-t", "-q"]': f'["{PROGRAMS["nginx"]}", "-t", "-q", "-c", "{self.folder}/main.conf"]',
            "inter 1s": "inter 200ms",
            "hcinterval=1 ": "hcinterval=200ms ",
            '"interval_s": 1,': '"interval_s": 0.2,',
            "ThreadLimit 8192": "ThreadLimit 256",
        }.items():
            text = text.replace(old, new)
        return re.sub(r"\b4096\b", "256", text)  # a port of the kernel's may have these digits in it

    def _haproxy(self):
        return ["-db", "-f", f"{self.folder}/haproxy.cfg"], ["-c", "-f", f"{self.folder}/haproxy.cfg"]

    def _apache(self):
        load = "".join(
            f"LoadModule {name}_module {path}\n" for name in APACHE for path in glob.glob(f"{MODULES[0]}/mod_{name}.so")
        )
        who = "User daemon\nGroup daemon\n" if os.getuid() == 0 else ""
        main = (
            f"ServerRoot {self.folder}\nServerName test\nPidFile {self.folder}/pid\nDefaultRuntimeDir {self.folder}\n"
            f"{load}{who}ErrorLog {self.folder}/main.log\n"
        )
        (self.folder / "main.conf").write_text(main + f"Include {self.folder}/deepgram.conf\n")
        words = ["-f", f"{self.folder}/main.conf"]
        return [*words, "-DFOREGROUND"], [*words, "-t"]

    def _nginx(self):
        temporary = "".join(f"{name}_temp_path {self.folder}/{name};\n" for name in TEMPORARY)
        (self.folder / "run").mkdir()
        (self.folder / "main.conf").write_text(
            f"{'user root;' if os.getuid() == 0 else ''}\nworker_processes 2;\npid {self.folder}/pid;\ndaemon off;\n"
            f"error_log {self.folder}/error.log;\nevents {{ worker_connections 512; }}\n"
            f"http {{\n{temporary}include {self.folder}/deepgram.conf;\n}}\n"
        )
        words = ["-e", f"{self.folder}/early.log", "-c", f"{self.folder}/main.conf"]
        return words, [*words, "-t"]

    def accepted(self):
        """What the program says of the file: (exit status, text)."""
        done = subprocess.run([PROGRAMS[self.program], *self.check], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def start(self):
        out = (self.folder / "out.log").open("w")
        self.children.append(subprocess.Popen([PROGRAMS[self.program], *self.words], stdout=out, stderr=out))
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            time.sleep(0.02)
        else:
            reported = "".join(f"{log.name}:\n{log.read_text()}" for log in self.folder.glob("*.log"))
            raise AssertionError(f"nothing listens on {self.port}; exit status {self.children[-1].poll()}\n{reported}")
        if self.program == "nginx":
            self.children.append(
                subprocess.Popen([sys.executable, "-B", f"{self.folder}/upstreams", "watch"], stdout=out)
            )
        return self

    def ask(self, path="/v1/listen", method="POST", body=b"x", headers=()):
        """(status, headers, body) of one request on a connection of its own."""
        stream = self.open()
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: gpu1",
            "Connection: close",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        stream.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        reported = b""
        while part := stream.recv(65536):
            reported += part
        head, _, rest = reported.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode().lower(), rest

    def stream(self, path="/v1/listen"):
        """An open WebSocket, after its 101."""
        stream = self.open()
        lines = [f"GET {path} HTTP/1.1", "Host: gpu1", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        stream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        reported = b""
        while b"\r\n\r\n" not in reported and (part := stream.recv(1)):
            reported += part
        assert b" 101 " in reported, reported
        return stream

    def open(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 10))

    def drain(self, pool, name, back=False):
        """As the export's README says it."""
        if self.program == "haproxy":
            with socket.socket(socket.AF_UNIX) as admin:
                admin.connect(f"{self.folder}/admin.sock")
                admin.sendall(f"set server {pool}/{name} state {'ready' if back else 'drain'}\n".encode())
                return admin.recv(1000).decode()
        if self.program == "apache":
            address = next(api.address for api in self.apis.values() if api.name == name)
            at = f"https://127.0.0.1:{self.port}/balancer-manager"
            words = ["curl", "-skf", "-e", at, "-d", f"b={pool}&w=http://{address}&w_status_N={0 if back else 1}", at]
            return subprocess.run(words, capture_output=True, check=True).stdout.decode()
        words = [sys.executable, "-B", f"{self.folder}/upstreams", "undrain" if back else "drain", name]
        return subprocess.run(words, capture_output=True, check=True).stdout.decode()

    def log(self):
        return "".join(path.read_text(errors="replace") for path in Path(self.folder).glob("*.log"))

    def close(self):
        for child in reversed(self.children):
            child.terminate()
            child.wait(20)


TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
