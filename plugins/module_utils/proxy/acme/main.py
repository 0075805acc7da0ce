"""Has certbot order NGINX's certificate from an ACME authority (RFC 8555), renews it, and has NGINX serve it.

  deepgram-acme renew [CONFIG]     orders what is missing or due, then deploys; a timer calls it twice a day
  deepgram-acme deploy [CONFIG]    puts what certbot has in NGINX's place, tests, reloads (certbot's deploy hook)
  deepgram-acme due [CONFIG]       JSON: what `renew` would do, {"order": why or "", "deploy": true or false}

Whether a certificate is due this program says, and not certbot, whose rule differs from version to version: 30 days before its
end, or at half its life where that is shorter. All settings, secrets among them, stand in files that root alone can read.
Exit codes: 0 done; 1 the authority, certbot or NGINX said no, and stderr says why and what to do.
"""

import fcntl
import json
import os
import sys
import time

from ansible.module_utils.proxy.acme.deploy import deploy, stale, undeployed
from ansible.module_utils.proxy.acme.files import Failed, note, read, state_of
from ansible.module_utils.proxy.acme.order import due, order

CONFIG = "/etc/deepgram-acme/acme.json"


def renew(config):
    """Orders what is due, deploys what is not served; notes how it went. True when something was done."""
    now = int(time.time())
    try:
        why = due(config, now)
        if why:
            print(f"ordering a certificate for {', '.join(config['names'])}: {why}", flush=True)
            order(config)
        deployed = deploy(config)
    except Failed as error:
        since = state_of(config).get("since") or now
        note(config, tried=now, since=since, error=error.args[0], fix=error.args[1])
        raise
    if why or state_of(config).get("error"):
        note(config, tried=now, since=0, error="", fix="")
    return bool(why) or deployed


def carry_out(command, path=CONFIG):
    """One command; raises Failed."""
    config = json.loads(read(path) or "{}")
    if not config:
        raise Failed(f"{path} is not there", "dgctl provision")
    if command == "due":
        print(json.dumps({"order": due(config), "deploy": undeployed(config) or stale(config)}))
        return
    if command == "deploy":  # within `renew`, which has the lock
        deploy(config)
        return
    with open(config["state"] + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        changed = renew(config)
    print(json.dumps({"changed": changed}))


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in ("renew", "deploy", "due"):
        sys.exit(__doc__)
    os.umask(0o077)
    try:
        carry_out(*sys.argv[1:])
    except Failed as error:
        sys.exit(f"{error.args[0]}. Fix: {error.args[1]}")
