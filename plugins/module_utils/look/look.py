"""Looks at a host: does what its roles recorded still hold, and is it what is wanted now? Changes nothing but records.

Sent to the host as source together with what it uses: only the standard library may be imported.
"""

import json
import time

from ansible.module_utils.host import files as host_files
from ansible.module_utils.host import os_release
from ansible.module_utils.host import record as host_record
from ansible.module_utils.look import things as look_things

FORMAT = 1
SYSTEM = ("ID", "VERSION_ID")
LEASE = "/var/lib/deepgram/lease.json"  # look/lease.py's
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def main(text):
    """Carries out a request in JSON; prints one line that is found again in whatever a login shell says."""
    request = json.loads(text)
    answer = {"look": look, "begun": started, "verified": verified}[request["mode"]](request)
    print("applied-state: " + json.dumps(answer))


def look(request):
    begin, host, desired = time.monotonic(), request["host"], request["roles"]
    records = {role: host_record.read(role, host) for role in desired}
    server = look_things.Server([record["things"] for record, _ in records.values() if record]).call()
    roles = {role: judge(*records[role], fingerprint, server) for role, fingerprint in desired.items()}
    urls, reports = (
        sorted({one for record, _ in records.values() if record for one in record["things"].get(kind, [])})
        for kind in ("answers", "reports")
    )
    done = host_record.read(host_record.VERIFIED, host)[0]
    return {
        "format": FORMAT,
        "time": time.time(),
        "boot_id": _boot_id(),
        "system": {key: value for key, value in os_release.fields().items() if key in SYSTEM},
        "roles": roles,
        "verified": bool(done) and done["fingerprints"] == desired,
        "answers": {url: server.answer(url).get("body") for url in urls},
        "reports": {path: server.report(path) for path in reports},
        "lease": server.report(LEASE) or {},
        "seconds": round(time.monotonic() - begin, 4),
    }


def judge(record, why, fingerprint, server):
    """State of one role: the first that fits of new, distrusted, unfinished, changed, drifted, right."""
    if record is None:
        return {"state": "distrusted" if why else "new", "why": why, "drift": [], "things": {}}
    drift = look_things.compare(record["things"], server)
    answer = {"drift": drift, "things": look_things.count(record["things"])}
    if record["things"].get("driver"):
        answer["keepers"] = server.keepers()
    desired = record["desired"]
    if not record["finished"]:
        return {"state": "unfinished", "why": "a run ended before this role was done", **answer}
    if not desired:
        return {"state": "distrusted", "why": "the role was last run without dgctl", **answer}
    if desired["fingerprint"] != fingerprint:
        return {"state": "changed", "why": "what is wanted has changed", "applied": desired, **answer}
    if drift:
        return {"state": "drifted", "why": "the server was changed", **answer}
    return {"state": "right", "why": "", **answer}


def started(request):
    """Marks these roles as begun and not done, before a run that is to run them."""
    host_record.begin(request["roles"], request["host"], host_files.found)
    return {"format": FORMAT, "begun": True}


def verified(request):
    """Notes that this host was verified with these fingerprints."""
    host_record.write(host_record.VERIFIED, request["host"], fingerprints=request["roles"])
    return {"format": FORMAT, "verified": True}


def _boot_id():
    try:
        with open(BOOT_ID) as stream:
            return stream.read().strip()
    except OSError:
        return ""
