"""Where things lie on the proxy, and how they are read and written."""

import contextlib
import json
import os
import tempfile

CONFIG = "/etc/nginx/deepgram/upstreams.json"
KEPT = "/var/lib/deepgram-upstreams"  # upstreams.conf, addresses.json, drained/NAME
OVERFLOW = f"{KEPT}/overflow.json"  # the address of another deployment, by its name
RUN = "/run/deepgram-upstreams"  # state.json, members.json (for others to read), serving, live, lock, closing


class Refused(Exception):
    """What could not be done, in one sentence."""


def read(path, default=None):
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return default


def read_json(path, default):
    """What a file holds; the default when it is missing or torn."""
    try:
        return json.loads(read(path) or "")
    except ValueError:
        return default


def write(path, text):
    """Replaces a file at once."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, new = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(handle, 0o644)
            stream.write(text)
            stream.flush()
            os.fsync(handle)
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # in place already: a stop that came in this moment gets through
            os.unlink(new)
        raise


def configuration():
    """{nodes: [{name, id, address, profile, region, language, max_connections}], profiles, languages, region, interval_s,
    closing_s, port, overflow: {address, max_connections}}."""
    config = read_json(CONFIG, None)
    if not isinstance(config, dict) or not isinstance(config.get("nodes"), list):
        raise Refused(f"{CONFIG} is missing or is no configuration; provision this proxy again")
    return config


def key(node):
    """What a node is known by: its server's name, or of several APIs on one server its own."""
    return node.get("id") or node["name"]


def nodes():
    """The configured nodes, for a report: none where there is no configuration."""
    return (read_json(CONFIG, None) or {"nodes": []})["nodes"]
