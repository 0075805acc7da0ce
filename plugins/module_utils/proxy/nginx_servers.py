"""Server blocks of NGINX, read from what `nginx -T` prints, and which of them takes another one's requests.

NGINX chooses by address and port first, then by name; of several blocks with the same name the first in its configuration
(nginx.org: "How nginx processes a request"; `conflicting server name "x" on 0.0.0.0:443, ignored`).
"""

import collections
import glob
import re

FILE = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|[^\s{};]+""")
OTHER = ("stream", "mail")  # contexts whose servers speak no HTTP

# listens: {(address or "*", port)}; names: in small letters; defaults: ports whose default server it says to be.
Server = collections.namedtuple("Server", "path line listens names defaults")


def servers(dump):
    """The server blocks of a configuration in their order."""
    parts = FILE.split(dump)
    return [server for path, text in zip(parts[1::2], parts[2::2]) for server in _of_file(path, text[1:])]


def rival(dump, path, port, name):
    """The block that takes from the file at `path` what comes to this port with this name; None for none."""
    ours = False
    for server in servers(dump):
        if server.path == path:
            ours = True
            continue
        addresses = {address for address, its in server.listens if its == port}
        if name.lower() in server.names and (addresses - {"*"} or (addresses and not ours)):
            return server
    return None


def other_default(root, path, port):
    """The block that says to be the port's default server beside the one in the file at `path`; None for none.

    NGINX names only the last of them, and prints nothing of a configuration that it refuses: so the files are read.
    """
    patterns = ("nginx.conf", "conf.d/*.conf", "sites-enabled/*", "default.d/*.conf")
    found = [name for pattern in patterns for name in sorted(glob.glob(f"{root}/{pattern}"))]
    blocks = [server for name in found if name != path for server in _of_file(name, _text(name))]
    return next((server for server in blocks if port in server.defaults), None)


def _text(path):
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _of_file(path, text):
    stack, words, found = [], [], []
    for token in TOKEN.finditer(text):
        word = token[0]
        if word.startswith("#"):
            continue
        if word == "{":
            block = None
            if words[:1] == ["server"] and not any(name in OTHER for name, _ in stack):
                block = Server(path, text.count("\n", 0, token.start()) + 1, set(), set(), set())
                found.append(block)
            stack.append((words[0] if words else "", block))
        elif word == "}" and stack:
            stack.pop()
        elif word == ";" and stack and stack[-1][1]:
            _learn(stack[-1][1], words)
        words = [] if word in "{};" else [*words, word.strip("\"'")]
    return [server if server.listens else server._replace(listens={("*", 80)}) for server in found]


def _learn(server, words):
    if words[:1] == ["listen"] and len(words) > 1:
        server.listens.add(_address(words[1]))
        server.defaults.update({_address(words[1])[1]} if {"default_server", "default"} & set(words[2:]) else ())
    elif words[:1] == ["server_name"]:
        server.names.update(word.lower().lstrip(".") for word in words[1:])


def _address(text):
    """(address, port) of a listen directive's first word; "*" for every address."""
    if text.isdigit():
        return "*", int(text)
    address, _, port = text.rpartition(":") if not text.endswith("]") and ":" in text else (text, "", "80")
    address = "*" if address in ("*", "0.0.0.0", "[::]") else address
    return address, int(port) if port.isdigit() else 0
