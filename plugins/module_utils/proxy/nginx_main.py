"""NGINX's main file: the few changes that a site needs there. All else in it is the system's, or its owner's."""

import fnmatch
import os
import re

CONNECTIONS = re.compile(r"^(\s*worker_connections\s+)(\d+)(\s*;)", re.MULTILINE)
COMMENT = re.compile(r"#[^\n]*")
INCLUDE = re.compile(r"\binclude\s+([^;{}\s]+)\s*;")
SERVER = re.compile(r"\n[ \t]*server\s*{")
LISTEN = re.compile(r"\blisten\s+([^;]+);")
WELCOME = "/usr/share/nginx/html"  # the page that Enterprise Linux serves from its main file, on port 80


def settled(text, connections, main_path):
    """The file with at least so many connections a worker, main_path included, and no welcome page; None for no file."""
    if text is None:
        return None
    return included(without_welcome(raised(text, connections)), main_path)


def raised(text, connections):
    """At least so many connections a worker; as it is where none is requested."""
    if not connections:
        return text
    return CONNECTIONS.sub(lambda found: f"{found[1]}{max(int(found[2]), connections)}{found[3]}", text)


def included(text, path):
    """With an include of path outside of every block, unless one is there that matches it."""
    if not path:
        return text
    patterns = [os.path.join("/etc/nginx", one) for one in INCLUDE.findall(outermost(text))]
    if any(fnmatch.fnmatchcase(path, one) for one in patterns):
        return text
    return f"{text.rstrip()}\n\n# Added by Ansible.\ninclude {path};\n"


def outermost(text):
    """What stands outside of every block, without comments."""
    depth, retained = 0, []
    for part in re.split(r"([{}])", COMMENT.sub("", text)):
        if part in "{}" and part:
            depth += 1 if part == "{" else -1
        elif depth == 0:
            retained.append(part)
    return "".join(retained)


def without_welcome(text):
    """Without the server of the welcome page: nothing listens without TLS."""
    for found in SERVER.finditer(text):
        end = block_end(text, found.end())
        body = COMMENT.sub("", text[found.start() : end])
        if WELCOME in body and all(port.split()[0].rpartition(":")[2] == "80" for port in LISTEN.findall(body)):
            return text[: found.start()] + text[end:]
    return text


def block_end(text, place):
    """Where the block ends whose opening brace stands before place."""
    depth = 1
    for found in re.finditer(r"#[^\n]*|[{}]", text[place:]):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return place + found.end()
    return len(text)
