"""The state of a server's Deepgram that was verified, and the one before it: kept aside to go back to.

A state is what the roles' records answer for: files and directories, model files, and the images in images.json. Secrets
(files that only root may read: the key, the registry's password) are of no state: no copy of them is kept, and going back
leaves those of now.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import time

from ansible.module_utils.deepgram import components as deepgram_components
from ansible.module_utils.host import files as host_files
from ansible.module_utils.host import record as host_record
from ansible.module_utils.host.whole_file import sync
from ansible.module_utils.snapshot.files import model_here, put, write_bytes

PLACE = "/var/lib/deepgram/verified"
MODELS = "models"  # in PLACE: hard links to the model files of both states
BESIDE = ".verified"  # in the models' own directory, where that is another file system
IMAGES = "/etc/deepgram/images.json"
FORMAT = 1
SLOTS = ("current", "previous")


class Unusable(Exception):
    """A state that cannot be kept or restored; `fix` says what to do."""

    def __init__(self, what, fix):
        super().__init__(what)
        self.fix = fix


def real(roles):
    """The state that the server is in now; None when the first of the roles never ran here."""
    records = {role: _text(os.path.join(host_record.FOLDER, role + ".json")) for role in roles}
    if records[roles[0]] is None:
        return None
    try:
        found = {role: json.loads(text) for role, text in records.items() if text is not None}
        state = _state(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(
            f"a record in {host_record.FOLDER} cannot be read ({type(error).__name__})",
            "provision this server; that rewrites its records",
        ) from error
    state["records"] = {role: records[role] for role in found}
    state["digest"] = digest(state)
    return state


def _state(records):
    things = [record["things"] for record in records.values()]
    files = {path: host_files.look_at(path) for one in things for path in one.get("files", {})}
    models = {path: host_files.look_at_large(path) for one in things for path in one.get("large_files", {})}
    images = json.loads(_text(IMAGES) or "{}")
    return {
        "files": files,
        "absent": sorted({path for one in things for path in one.get("absent", [])}),
        "models": models,
        "images": images.get("containers", {}),
        "release": images.get("release", ""),
        "finished": all(record["finished"] for record in records.values()),
        "wanted": {role: record["desired"].get("fingerprint", "") for role, record in records.items()},
        "service": _service(things),
    }


def _service(things):
    """What is to run: {engine, files and urls by component}, as the record of the containers has it."""
    containers = next((one["containers"] for one in things if "containers" in one), {"engine": "", "names": {}})
    answers = [url for one in things for url in one.get("answers", [])]
    components = [name.partition("-")[2] for name in containers["names"]]
    urls = {}
    for kind, end in (("engine", "/metrics"), ("api", "/v1/status")):  # in the order of the containers
        named = [name for name in components if deepgram_components.kind(name) == kind]
        urls.update(zip(named, [url for url in answers if url.endswith(end)]))
    return {
        "engine": containers["engine"],
        "files": {name.partition("-")[2]: entry["reads"] for name, entry in containers["names"].items()},
        "urls": urls,
    }


def is_secret(was):
    """Whether what was seen of a path is a file that nobody but its owner may read."""
    return was.get("type") == "file" and not int(was["mode"], 8) & 0o077


def digest(state, with_secrets=False):
    """What makes two states one: their files, models and images. Not what a run notes down about them."""
    folders = {os.path.dirname(path) for path in state["models"]}
    files = {path: was for path, was in state["files"].items() if os.path.dirname(path) not in folders}
    files = {path: was for path, was in files.items() if with_secrets or not is_secret(was)}
    text = json.dumps([files, state["models"], state["images"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def same(one, other):
    """Is it the same state, wanted for the same reasons? An upgrade that has only begun makes a difference."""
    return all(one[key] == other[key] for key in ("digest", "finished", "wanted"))


def load(slot):
    """A kept state, or None."""
    text = _text(os.path.join(PLACE, slot, "manifest.json"))
    try:
        retained = json.loads(text) if text else None
    except ValueError:
        return None
    # Earlier versions counted secrets among what makes a state, and kept copies of them.
    if (
        not retained
        or retained.get("format") != FORMAT
        or retained.get("digest") not in (digest(retained), digest(retained, True))
    ):
        return None
    return {**retained, "digest": digest(retained)}


def forget_secrets():
    """Removes the copies of secrets that an earlier version kept."""
    for slot in SLOTS:
        for path, was in (load(slot) or {"files": {}})["files"].items():
            if is_secret(was) and os.path.lexists(copy_of(slot, path)):
                os.unlink(copy_of(slot, path))


def mend():
    """Ends a rotation of the directories that was cut off, forwards or backwards; see `keep`."""
    here = {name: os.path.isdir(os.path.join(PLACE, name)) for name in (*SLOTS, "new", "old")}
    if here["new"] and not here["current"]:
        _rename("new", "current")
    elif here["old"] and not here["previous"]:
        _rename("old", "previous")
    for name in ("part", "new", "old", "stale"):
        shutil.rmtree(os.path.join(PLACE, name), ignore_errors=True)


def keep(state):
    """Makes the real state `current`. True when it is another one than before, which becomes `previous`."""
    before = load("current")
    changed = not before or before["digest"] != state["digest"]
    if changed or _bookkeeping(before) != _bookkeeping(state):
        _build(state)
        _rename("part", "new")
        if changed and load("previous"):
            _rename("previous", "old")
        if os.path.isdir(os.path.join(PLACE, "current")):
            _rename("current", "previous" if changed and before else "stale")
        _rename("new", "current")
        mend()
    forget_models()
    return changed


def _bookkeeping(state):
    return [state["records"], state["files"]]


def _build(state):
    """A directory `part` with copies of the files, and its manifest last."""
    part = os.path.join(PLACE, "part")
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part, mode=0o700)
    for path, was in state["files"].items():
        if was.get("type") == "file" and not is_secret(was):
            copy = copy_of("part", path)
            os.makedirs(os.path.dirname(copy), mode=0o700, exist_ok=True)
            with open(path, "rb") as stream:
                data = stream.read()
            if hashlib.sha256(data).hexdigest() != was["sha256"]:
                raise Unusable(f"{path} was written while it was being kept", "run again")
            write_bytes(copy, data, 0o600)
    links = {path: _link(path, was) for path, was in state["models"].items()}
    manifest = {**state, "format": FORMAT, "at": int(time.time()), "links": links}
    write_bytes(os.path.join(part, "manifest.json"), json.dumps(manifest, sort_keys=True).encode(), 0o600)
    sync(part)


def copy_of(slot, path):
    return os.path.join(PLACE, slot, "files", path.lstrip("/"))


def _link(path, was):
    """A second name for a model file, which outlives the first; "" on a file system that cannot."""
    if not was:
        raise Unusable(f"the model file {path} is missing", "provision this server, then run again")
    for folder in (os.path.join(PLACE, MODELS), os.path.join(os.path.dirname(path), BESIDE)):
        # Not called .dg: an Engine that sees it must not load it.
        link = os.path.join(folder, f"{os.path.basename(path)}.{was['size']}.{was['mtime_ns']}.kept")
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            if not os.path.lexists(link) or not os.path.samefile(link, path):
                os.link(path, link + ".new")
                os.replace(link + ".new", link)
            return link
        except FileExistsError:
            os.unlink(link + ".new")  # of a run that was killed
            return _link(path, was)
        except OSError:
            continue
    return ""


def forget_models():
    """Removes the second names that no kept state has."""
    retained = [state for state in map(load, SLOTS) if state]
    desired = {link for state in retained for link in state["links"].values()}
    folders = {os.path.dirname(link) for link in desired} | {os.path.join(PLACE, MODELS)}
    for folder in filter(os.path.isdir, folders):
        for name in os.listdir(folder):
            if os.path.join(folder, name) not in desired:
                os.unlink(os.path.join(folder, name))


def check(slot, target):
    """Raises Unusable unless every file and model of a kept state is still what it was."""
    for path, was in target["files"].items():
        if is_secret(was):
            if not host_files.look_at(path):
                raise Unusable(
                    f"{path} is gone, and of secrets no copy is kept", "provision this server, then run again"
                )
            continue
        seen = host_files.look_at(copy_of(slot, path)) if was.get("type") == "file" else was
        if seen.get("sha256") != was.get("sha256"):
            raise Unusable(
                f"the kept copy of {path} was changed or is gone",
                f"put the release into the inventory that you want, and provision; then remove {PLACE}/{slot}",
            )
    for path, was in target["models"].items():
        if not model_here(path, target["links"][path], was, _sum_of(slot, path)):
            raise Unusable(
                f"the model file {path} was overwritten or is gone, and no second name of it was kept",
                "put the models and the release into the inventory that you want, and provision",
            )


def _sum_of(slot, path):
    """SHA-256 of a model file as it was when the state was kept; "" when nobody knew."""
    text = _text(copy_of(slot, os.path.join(os.path.dirname(path), ".sha256.json")))
    try:
        return json.loads(text or "{}").get(os.path.basename(path), {}).get("sha256", "")
    except (ValueError, AttributeError):
        return ""


def surplus(target, now):
    """(files, models) that the state now has and the target has not; what defines containers of another engine stays.

    Whoever moves the containers between engines finds them by it, and takes it away then.
    """
    files = {path for path, is_now in now["files"].items() if is_now.get("type") in ("file", "link")}
    files = (files | set(target["absent"])) - set(target["files"])
    if target["service"]["engine"] != now["service"]["engine"]:
        files = {path for path in files if not re.search(r"/compose\.yaml$|/systemd/", path)}
    return sorted(filter(os.path.lexists, files)), sorted(set(now["models"]) - set(target["models"]))


def restore(slot, target, now, check_mode):
    """Puts files and models back as they were; the paths that this changed. The records go last."""
    changed = []
    missing = [path for path in surplus(target, now)[0] if not is_secret(now["files"].get(path, {}))]
    if not check_mode and os.path.exists(_record(host_record.VERIFIED)):
        os.unlink(_record(host_record.VERIFIED))  # what was verified counts no longer
    for path, was in target["models"].items():
        if host_files.look_at_large(path) != was:
            changed.append(path)
            if not check_mode:
                _put_model(path, model_here(path, target["links"][path], was, _sum_of(slot, path)), was)
    for path in sorted(path for path, was in target["files"].items() if not is_secret(was)):
        if put(path, target["files"][path], copy_of(slot, path), check_mode):
            changed.append(path)
    for path in missing:
        changed.append(path)
        if not check_mode:
            os.unlink(path)
    for role, text in target["records"].items():
        text = _with_secrets_of_now(text)
        if not check_mode and _text(_record(role)) != text:
            write_bytes(_record(role), text.encode(), 0o600)
    return changed


def _with_secrets_of_now(text):
    """A role's record that is put back: of secrets it says what is there, because that stays."""
    record = json.loads(text)
    files = record["things"].get("files", {})
    now = {path: host_files.look_at(path) for path, was in files.items() if is_secret(was)}
    if all(files[path] == seen for path, seen in now.items()):
        return text
    is_whole = record.get("sum") == host_record.checksum(record)
    files.update(now)
    return json.dumps({**record, "sum": host_record.checksum(record)} if is_whole else record)


def _put_model(path, name, was):
    """Has a model file at its path, from the name that it is found under, with its time and rights."""
    if name != path:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        if os.path.lexists(path + ".restored"):
            os.unlink(path + ".restored")
        os.link(name, path + ".restored")
        os.replace(path + ".restored", path)
        sync(os.path.dirname(path))
    os.chown(path, was["uid"], was["gid"])
    os.chmod(path, int(was["mode"], 8))
    os.utime(path, ns=(was["mtime_ns"], was["mtime_ns"]))


def _record(role):
    return os.path.join(host_record.FOLDER, role + ".json")


def _rename(before, after):
    os.rename(os.path.join(PLACE, before), os.path.join(PLACE, after))
    sync(PLACE)


def _text(path):
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
