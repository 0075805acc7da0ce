"""Whether a certificate is due, and its order."""

import json
import os
import ssl
import time

from ansible.module_utils.host.openssl import OpensslFailed, openssl
from ansible.module_utils.proxy.acme.files import Failed, note, read, run, state_of
from ansible.module_utils.proxy.acme.words import explained

DAY_S = 86400
EARLY_S = 30 * DAY_S  # before its end: Let's Encrypt's own advice for 90 days (letsencrypt.org/docs/integration-guide)
ORDER_S = 1200  # a hook may wait for DNS to spread


def ends(path):
    """(from, until) of a file's first certificate, in seconds since 1970. Raises Failed where openssl reads none."""
    try:
        text = openssl("x509", "-in", path, "-noout", "-startdate", "-enddate")[1]
        found = dict(line.partition("=")[::2] for line in text.splitlines())
        first, last = (int(ssl.cert_time_to_seconds(found[name])) for name in ("notBefore", "notAfter"))
    except (OpensslFailed, KeyError, ValueError) as error:
        what = f"{path}: openssl reads no certificate there ({error})"
        raise Failed(what, f"rm -r {os.path.dirname(path)}, and order again") from None
    return first, last


def desired(config):
    """What a certificate is ordered for: it is ordered again when this changes."""
    return {"names": sorted(config["names"]), "server": config["server"]}


def due(config, now=None):
    """Why a certificate has to be ordered; "" for no reason."""
    chain = os.path.join(config["live"], "fullchain.pem")
    if not (os.path.exists(chain) and os.path.exists(os.path.join(config["live"], "privkey.pem"))):
        return "there is none"
    ordered = state_of(config).get("ordered") or {}
    if ordered.get("names") != desired(config)["names"]:
        return "its names differ"
    if ordered.get("server") != config["server"]:
        return "it is of another authority"
    first, last = ends(chain)
    left = last - (now or time.time())
    return f"it ends in {max(0, int(left // DAY_S))} days" if left < min(EARLY_S, (last - first) / 2) else ""


def environment(config):
    """certbot's: the operator's variables for the hook, and whom the directory's own certificate may be signed by."""
    found = dict(os.environ, LC_ALL="C", PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin")
    if config.get("environment"):
        found.update(json.loads(read(config["environment"]) or "{}"))
    if config.get("ca"):
        found["REQUESTS_CA_BUNDLE"] = config["ca"]
    return found


def order(config):
    """Has certbot order a certificate, whatever it has; raises Failed with the authority's own words."""
    words = ["certbot", "certonly", "--config", config["ini"], "--force-renewal"]
    code, reported = run(words, ORDER_S, environment(config))
    if code:
        raise Failed(*explained(reported, config))
    note(config, ordered=desired(config))
