"""Takes away from a server what Deepgram's roles made there, as their records have it; never driver or container engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat

from ansible.module_utils.deepgram.containers import run
from ansible.module_utils.host import record as host_record
from ansible.module_utils.packages import families

# Roles whose files go; of others (driver, engines, toolkit) only the records go.
# Of Billing its journal stays, wherever it lies: a record names its directory, and files alone go.
ROLES = ("deepgram", "deepgram_models", "license_proxy", "billing", "nginx_proxy", "host_firewall")
FOLDERS = (
    "/etc/deepgram",
    "/var/lib/deepgram",
    "/var/lib/deepgram-upstreams",
    "/var/lib/deepgram-firewall",
    "/etc/nginx/deepgram",
)
SITE = "/etc/nginx/conf.d/deepgram.conf"
IMAGES = "/etc/deepgram/images.json"
UNITS = "/etc/systemd/system/"
MODEL_FILES = re.compile(r".*\.dg(v2)?(\.partial(\.json)?)?|\.sha256\.json(\.new)?|\.lock")


def things():
    """What each role's record answers for; nothing for one that is not there or cannot be read."""
    found = []
    for role in ROLES:
        record = _json(os.path.join(host_record.FOLDER, role + ".json"))
        if isinstance(record.get("things"), dict):
            found.append(record["things"])
    return found


def plan(recorded):
    """What there is to take away: {units, files, folders, images}; each list is empty when nothing is."""
    paths = sorted({path for one in recorded for path in one.get("files", {})} | {SITE})
    models = sorted({path for one in recorded for path in one.get("large_files", {})})
    files = [path for path in [*paths, *_models(models)] if _ours(path)]
    units = [os.path.basename(path) for path in files if os.path.dirname(path) + "/" == UNITS]
    folders = [path for path in FOLDERS if os.path.isdir(path)]
    inside = [path for path in files if not path.startswith(tuple(folder + "/" for folder in folders))]
    return {"units": units, "files": inside, "folders": folders, "images": images()}


def _models(paths):
    """Model files where they lie outside of Deepgram's own folders, with what was downloaded in part."""
    found = set(paths)
    for folder in {os.path.dirname(path) for path in paths}:
        names = os.listdir(folder) if os.path.isdir(folder) else []
        found |= {os.path.join(folder, name) for name in names if MODEL_FILES.fullmatch(name)}
    return sorted(found)


def _ours(path):
    """Is it a file or link that no package brought?"""
    try:
        kind = os.lstat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISDIR(kind) and run([*families.here().owner, path], check=False)[0] != 0


def images():
    """{engine: names} of the images of every release that was pulled here."""
    record = _json(IMAGES)
    repositories = {entry.get("repository") for entry in (record.get("containers") or {}).values()}
    repositories |= {name.rpartition(":")[0] for name in record.get("pins") or {}}
    found = {}
    for engine in ("docker", "podman"):
        out = run([engine, "images", "--format", "{{.Repository}} {{.ID}}"], check=False)[1]
        names = {line.split()[1] for line in out.splitlines() if line.split()[:1] and line.split()[0] in repositories}
        if names:
            found[engine] = sorted(names)
    return found


def wipe(due):
    """Does it. The records go last of all, so that a run that was killed is gone on with."""
    for unit in due["units"]:
        run(["systemctl", "disable", "--now", unit], check=False)
    for engine, names in due["images"].items():
        run([engine, "rmi", "--force", *names], timeout=600)
    # Inner folders first: an outer one is empty only without them.
    for path in sorted(due["files"], key=lambda path: -path.count("/")):
        os.unlink(path)
        _prune(os.path.dirname(path))
    if due["units"]:
        run(["systemctl", "daemon-reload"])
    reported = reload_nginx() if any("/nginx/" in path for path in [*due["files"], *due["folders"]]) else ""
    for folder in sorted(due["folders"], key=lambda folder: host_record.FOLDER.startswith(folder)):
        _empty(folder)
    return reported


def _prune(folder):
    """Removes second names of models, and a directory of ours that is empty by now."""
    shutil.rmtree(os.path.join(folder, ".verified"), ignore_errors=True)
    own = "deepgram" in folder or folder.endswith("/nginx/tls")
    if own and os.path.isdir(folder) and not os.path.ismount(folder) and not os.listdir(folder):
        os.rmdir(folder)


def _empty(folder):
    """Removes a directory; of the one with the records, these last."""
    for name in sorted(os.listdir(folder), key=lambda name: name == os.path.basename(host_record.FOLDER)):
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    if not os.path.ismount(folder):
        os.rmdir(folder)


def reload_nginx():
    """Has a running NGINX forget the site; what it says against its configuration without it, or nothing."""
    if run(["systemctl", "is-active", "--quiet", "nginx.service"], check=False)[0] != 0:
        return ""
    rc, out, err = run(["nginx", "-t", "-q"], check=False)
    if rc == 0:
        run(["systemctl", "reload", "nginx.service"])
    return "" if rc == 0 else (err or out).strip()


def _json(path):
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
