"""A host made of a temporary folder: its files, its programs, and a look at it as dgctl sends one."""

import contextlib
import datetime
import importlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import ThreadingUnixStreamServer

import pytest
from ansible.module_utils.testing import patch_module_args
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import utilities
from tests.applied.assembled import COMMAND, program
from tests.paths import PROJECT

utilities.use()
sys.path.append(str(PROJECT / "plugins" / "modules"))

SYSTEMCTL = """#!/bin/sh
while [ "$1" != -- ]; do shift; done; shift
[ -e {root}/systemd/broken ] && {{ echo "Failed to connect to bus" >&2; exit 1; }}
first=1
for unit; do
  [ $first ] || echo; first=
  cat {root}/systemd/$unit 2>/dev/null || printf 'MainPID=0\\nActiveState=inactive\\nUnitFileState=\\n'
done
"""


class Host:
    """Records what it holds, and is looked at."""

    def __init__(self, root, patch, capsys):
        self.root, self.patch, self.capsys, self.settings = root, patch, capsys, {}
        for folder in ("bin", "systemd", "etc", "updates"):
            (root / folder).mkdir()
        (root / "machine-id").write_text("0123456789abcdef\n")
        (root / "status").write_text("")
        self.program("systemctl", SYSTEMCTL.format(root=root).partition("\n")[2])
        self.set("host.record", FOLDER=str(root / "state"), MACHINE_ID=str(root / "machine-id"))
        self.set("packages.installed", STATUS=str(root / "status"), UPDATES=str(root / "updates"))
        self.set("packages.families", PROGRAMS={"apt": f"{root}/apt-get", "dnf": f"{root}/dnf"})
        self.set("containers.state", SOCKET=str(root / "docker.sock"))
        self.set(
            "nvidia.driver",
            PROC=f"{root}/proc",
            MODULES=f"{root}/sys",
            LIBRARIES=f"{root}/lib",
            LIBRARIES_64=f"{root}/lib64",
        )

    def set(self, source, **constants):
        """Puts constants into the sources, here and in the look."""
        for name, value in constants.items():
            self.patch.setattr(importlib.import_module(f"ansible.module_utils.{source}"), name, value)
            self.settings[source, name] = value

    def program(self, name, script):
        path = self.root / "bin" / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def file(self, name, text="content", mode=0o644):
        path = self.root / "etc" / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def unit(self, name, active="active", enabled="enabled", pid=0):
        (self.root / "systemd" / name).write_text(f"MainPID={pid}\nActiveState={active}\nUnitFileState={enabled}\n")

    def module(self, check=False, **arguments):
        """Result of the module applied_state."""
        self.capsys.readouterr()
        arguments |= {"_ansible_check_mode": check, "_ansible_remote_tmp": str(self.root)}
        with patch_module_args(arguments), contextlib.suppress(SystemExit):
            importlib.import_module("applied_state").main()
        return json.loads(self.capsys.readouterr().out)

    def record(self, role="role", desired=None, **declared):
        """Has the module record a role that wanted the fingerprint "f1", also what it would refuse (test_recording.py)."""
        recording = importlib.import_module("ansible.module_utils.look.recording")
        with self.patch.context() as patch:
            patch.setattr(recording, "faults", lambda *_: [])
            result = self.ended(role, desired, **declared)
        assert result["changed"] is False, result

    def ended(self, role="role", desired=None, **declared):
        """What the module says at the end of a role."""
        desired = {"fingerprint": "f1", "content": "c", "variables": {}} if desired is None else desired
        return self.module(role=role, host="gpu1", desired=json.dumps(desired), **declared)

    @property
    def path(self):
        """The record of the role "role"."""
        return self.root / "state" / "role.json"

    def ask(self, mode="look", more="", host="gpu1", **roles):
        """(answer, stderr) of a request, sent as dgctl sends it, after a line with a password nobody asked for."""
        request = {"format": 1, "mode": mode, "host": host, "roles": roles or {"role": "f1"}}
        done = subprocess.run(
            [os.environ.get("DGCTL_TEST_HOST_PYTHON", sys.executable), *COMMAND],
            input="password\n" + program(request, self.settings, more),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("applied-state: ")]
        assert len(lines) == 1, done.stdout + done.stderr
        return json.loads(lines[0].partition(": ")[2]), done.stderr

    def role(self, fingerprint="f1"):
        """What the look says of the role "role"."""
        return self.ask(role=fingerprint)[0]["roles"]["role"]

    def drift(self):
        return [f"{entry['thing']}: {entry['how']}" for entry in self.role()["drift"]]


@pytest.fixture
def host(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return Host(tmp_path, monkeypatch, capsys)


class Answering(BaseHTTPRequestHandler):
    """Answers from its server's table: {target: (status, text)}; 404 for the rest."""

    def do_GET(self):
        status, text = self.server.table.get(self.path, (404, "{}"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(server, table):
    server.table = table
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def docker(host):
    """{target: (status, text)}: what Docker answers on its socket."""
    with serving(ThreadingUnixStreamServer(str(host.root / "docker.sock"), Answering), {}) as server:
        yield server.table


@pytest.fixture
def web():
    """A web server with the attributes port and table: {target: (status, text)}."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Answering), {}) as server:
        server.port = server.server_port
        yield server


@pytest.fixture
def sleeper():
    """A process that has one child."""
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"], process_group=0) as process:
        yield process
        os.killpg(process.pid, 9)


@pytest.fixture
def certificate(tmp_path):
    """certificate(name): a file with a new certificate and its key."""

    def make(name):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = tmp_path / f"{name}.pem"
        pem = serialization.Encoding.PEM
        path.write_bytes(b"# a chain\n" + builder.sign(key, hashes.SHA256()).public_bytes(pem) + private)
        return str(path)

    return make
