"""A program in ssh's place, on PATH: the servers behind it are this machine, each with what is to happen on the way there.

`-L SOCKET:ADDRESS:PORT` leads to a port of this machine; a command runs here. Its words are OpenSSH's (channels.c: "channel %d:
open failed: %s", clientloop.c: "Connection to %s closed by remote host.", ssh.c: exit status 255).
"""

import json
import os
import stat
import sys

PROGRAM = """#!{python}
import json, os, socket, sys, threading
known, words = json.load(open({table!r})), sys.argv[1:]
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(words) + "\\n")
address = words[words.index("--") + 1]
if words[0] == "-G":
    print("hostname " + address + "\\nport 22")
    sys.exit(0)
told = known.get(address, {{"says": "ssh: connect to host " + address + " port 22: Connection timed out", "status": 255}})
sys.stderr.write(told.get("says", ""))
sys.stderr.flush()
if "status" in told:
    sys.exit(told["status"])
if "-L" not in words:
    os.environ["PATH"] = {folder!r} + ":/usr/bin:/bin"
    os.execvp("/bin/sh", ["/bin/sh", "-c", told.get("runs", words[-1])])

def pipe(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def lead(inside):
    try:
        outside = socket.create_connection(("127.0.0.1", told["to"]), 5)
    except OSError:
        reason = told.get("refuses", "connect failed: Connection refused")
        sys.stderr.write(f"channel 2: open failed: {{reason}}\\n" * told.get("times", 1))
        sys.stderr.flush()
        inside.close()
        return
    threading.Thread(target=pipe, args=(outside, inside), daemon=True).start()
    pipe(inside, outside)

listening = socket.socket(socket.AF_UNIX)
listening.bind(words[words.index("-L") + 1].split(":")[0])
listening.listen()
while True:
    threading.Thread(target=lead, args=(listening.accept()[0],), daemon=True).start()
"""
SUDO = '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\nexec "$@"\n'


class Ssh:
    """One in a folder that is first on PATH. `servers[address]`: {to: port}, {says, status} or {runs: shell command}."""

    def __init__(self, folder, monkeypatch):
        self._table, self._calls = folder / "servers.json", folder / "calls"
        self._calls.touch()
        self.servers({})
        paths = {"python": sys.executable, "table": str(self._table), "calls": str(self._calls), "folder": str(folder)}
        for name, text in (("ssh", PROGRAM.format(**paths)), ("sudo", SUDO)):
            (folder / name).write_text(text)
            (folder / name).chmod((folder / name).stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def servers(self, reported):
        self._table.write_text(json.dumps(reported))

    @property
    def calls(self):
        """The words of each call that led to a server."""
        reported = [json.loads(line) for line in self._calls.read_text().splitlines()]
        return [words for words in reported if words[0] != "-G"]
