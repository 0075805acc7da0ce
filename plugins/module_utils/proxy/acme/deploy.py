"""What certbot has, in NGINX's place, tested and served."""

import os
import time

from ansible.module_utils.deepgram.tls import first_certificate, served_certificate
from ansible.module_utils.host.outcome import last_line
from ansible.module_utils.host.whole_file import is_so, write
from ansible.module_utils.proxy.acme.files import Failed, read, run

SERVED_S = 20


def pair(config):
    """[(where it is deployed, its text, mode)] of what certbot has."""
    at = config["live"]
    return [
        (config["key"], read(os.path.join(at, "privkey.pem")), 0o600),
        (config["certificate"], read(os.path.join(at, "fullchain.pem")), 0o644),
    ]


def undeployed(config):
    """Whether NGINX's files are not what certbot has, where it has something."""
    files = pair(config)
    return all(text for _, text, _ in files) and any(not is_so(*one) for one in files)


def stale(config):
    """Whether NGINX runs, and shows another certificate than its file: a run was killed before it told NGINX."""
    own, shown = _own(config), _shown(config)
    return bool(own and shown and shown != own and not undeployed(config) and os.path.exists(config["live"]))


def deploy(config):
    """Puts certbot's certificate and key where NGINX has them, and has it serve them. True when that was needed."""
    if not undeployed(config) and not stale(config):
        return False
    before = [(path, read(path), mode) for path, _, mode in pair(config)]
    _put(pair(config))
    code, reported = run(config["test"], 60)
    if code:
        _put(before)
        raise Failed(f"nginx refuses its configuration, so the certificate of before stays: {_emergency(reported)}",
                     "correct what `nginx -t` names on the server")  # fmt: skip
    code, reported = run(config["reload"], 120)
    if code:
        raise Failed(f"{' '.join(config['reload'])}: {_last(reported)}", "see `journalctl -u nginx` on the server")
    _served(config)
    return True


def _put(files):
    for path, text, mode in files:
        if text:
            write(path, text, mode)


def _emergency(reported):
    return next((line for line in reported.splitlines() if "[emerg]" in line), _last(reported))


def _last(reported):
    return last_line(reported) or "nothing said"


def _served(config):
    """Waits until the port shows the certificate; raises Failed when it does not."""
    over, own = time.monotonic() + SERVED_S, _own(config)
    while _shown(config) != own:
        if time.monotonic() > over:
            what = f"port {config['port']} shows another certificate than {config['certificate']} {SERVED_S} s after the reload"
            raise Failed(
                what, "see `journalctl -u nginx` on the server: somebody else's server block may have the port"
            )
        time.sleep(0.2)


def _own(config):
    """DER of the certificate in NGINX's file; b"" where there is none."""
    try:
        return first_certificate(config["certificate"])
    except OSError:
        return b""


def _shown(config):
    """DER of the certificate on the port; b"" where none is shown."""
    try:
        return served_certificate("127.0.0.1", config["port"], config["server_name"])
    except OSError:
        return b""
