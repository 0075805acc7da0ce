#!/usr/bin/python
"""Keeps the state of Deepgram on this server that was verified, and goes back to it."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_snapshot
short_description: Keeps the verified state of Deepgram on a server, and restores it
description:
  - A state is what the roles' records answer for - configurations, key, containers' definitions, pinned images, model
    files -, and the records themselves. So a restored state is found right for the variables that it was applied with.
  - Two are kept in C(/var/lib/deepgram/verified), readable by root alone, C(current) and C(previous). Model files are
    kept as hard links, images by a tag of their own.
  - A restoration needs neither registry nor network. It changes files only; the caller restarts the containers.
  - It may be killed at any point. A restoration that was cut off is continued by the next one, until O(state=settled).
options:
  state:
    description: >-
      V(kept) makes the real state C(current), and the one before C(previous). V(restored) puts C(current) back, or
      C(previous) where the real state is C(current). V(settled) ends a restoration, once its containers work.
      V(report) changes nothing.
    type: str
    choices: [kept, restored, settled, report]
    required: true
  to:
    description: With O(state=restored) the state to restore; V(auto) as said there.
    type: str
    choices: [auto, current, previous]
    default: auto
  if_verified:
    description: With O(state=kept) nothing is kept of a server that was not found working as it is.
    type: bool
    default: false
  roles:
    description: Roles whose records are the state. The first must have run here; others may have.
    type: list
    elements: str
    default: [deepgram, deepgram_models]
  archive:
    description: Where the archive of C(dgctl images load) is, for an image that came from there and is gone; it is
      looked for at its usual place, too.
    type: path
    default: ""
  timeout_s:
    description: Seconds that a pull may take, where an image is gone in spite of its tag.
    type: int
    default: 3600
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = """
- name: Keep what was verified
  deepgram_snapshot:
    state: kept

- name: Go back to what worked
  deepgram_snapshot:
    state: restored
  register: restored
"""
RETURN = """
release:
  description: The release of the state that was kept or restored.
  returned: success, not with state=report
  type: str
from_release:
  description: The release that the server was at.
  returned: with state=restored
  type: str
slot:
  description: Which state was restored, C(current) or C(previous).
  returned: with state=restored
  type: str
files:
  description: Paths that were changed, or in check mode would be.
  returned: with state=restored
  type: list
  elements: str
service:
  description: What is to run - C(engine), and by component C(files) and C(urls), for deepgram_service.
  returned: with state=restored
  type: dict
health:
  description: What the containers must show - C(waits), one a container, C(gpu_required), C(models_dir).
  returned: with state=restored
  type: dict
current:
  description: Release, date, digest and images of this state, or null.
  returned: with state=report
  type: dict
previous:
  description: The same of this one.
  returned: with state=report
  type: dict
real:
  description: Release and digest of the real state, and whether its roles had finished; or null.
  returned: with state=report
  type: dict
equals:
  description: Which kept state the real one is - C(current), C(previous) or empty.
  returned: with state=report
  type: str
would_restore:
  description: What state=restored would restore now; empty when there is nothing to go back to.
  returned: with state=report
  type: str
restoring:
  description: Whether a restoration has begun and was not settled.
  returned: with state=report
  type: bool
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import fcntl
import json
import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram import components as deepgram_components
from ansible.module_utils.deepgram.containers import CommandFailed
from ansible.module_utils.host import files as host_files
from ansible.module_utils.host.outcome import fail
from ansible.module_utils.host.record import FOLDER, VERIFIED, day
from ansible.module_utils.host.whole_file import sync
from ansible.module_utils.snapshot import images as snapshot_images
from ansible.module_utils.snapshot import state as snapshot_state
from ansible.module_utils.snapshot.files import write_bytes
from ansible.module_utils.snapshot.state import PLACE, SLOTS, Unusable, load

# What to do about an image that is gone, by whether it came from an archive: its name is the registry's, or loopback's.
MISSING = {
    False: "let this server reach the registry",
    True: "bring its archive: dgctl images load INVENTORY FILE --release {release}",
}


def note_path():
    return os.path.join(snapshot_state.PLACE, "restoring.json")


def note():
    """What a restoration that is not settled wrote down; {} without one."""
    try:
        with open(note_path(), encoding="utf-8") as stream:
            found = json.load(stream)
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def forget_note():
    if os.path.exists(note_path()):
        os.unlink(note_path())
        sync(snapshot_state.PLACE)


def hold_place():
    """Makes the place, and holds its lock while the file that this returns is open."""
    os.makedirs(snapshot_state.PLACE, mode=0o700, exist_ok=True)
    os.chmod(snapshot_state.PLACE, 0o700)
    lock = open(os.path.join(snapshot_state.PLACE, ".lock"), "w")  # noqa: SIM115 - held until the module ends
    fcntl.flock(lock, fcntl.LOCK_EX)
    snapshot_state.mend()
    return lock


def verified(roles):
    """Whether the server was found working with what these roles applied last, and their files are still that."""
    try:
        with open(os.path.join(FOLDER, f"{VERIFIED}.json"), encoding="utf-8") as stream:
            proven = json.load(stream)["fingerprints"]
        for role in roles:
            with open(os.path.join(FOLDER, f"{role}.json"), encoding="utf-8") as stream:
                record = json.load(stream)
            if proven[role] != record["desired"]["fingerprint"] or touched(record["things"]):
                return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def touched(things):
    """Whether a hand changed a file of a role since: that is not what was verified."""
    files = host_files.compare(things.get("files", {}))
    models = host_files.compare(things.get("large_files", {}), host_files.look_at_large)
    return any(True for _ in (*files, *models))


def keep(params, check_mode):
    if params["if_verified"] and not verified(params["roles"]):
        return {"changed": False, "release": ""}
    now = snapshot_state.real(params["roles"])
    if now is None or not now["finished"]:
        what = "Deepgram was never deployed here" if now is None else "a run ended before Deepgram's roles were done"
        raise Unusable(f"there is no verified state to keep: {what}", "provision this server")
    engine, before = now["service"]["engine"], load("current")
    if check_mode:
        return {"changed": not before or before["digest"] != now["digest"], "release": now["release"]}
    snapshot_images.hold(engine, now["images"])
    changed = snapshot_state.keep(now)
    snapshot_state.forget_secrets()
    forget_note()
    snapshot_images.release(engine, [state for state in map(load, SLOTS) if state])
    return {"changed": changed, "release": now["release"]}


def choose(params, now):
    """(slot, its state) to restore: what a restoration before began with, or what was asked for."""
    retained = {slot: load(slot) for slot in SLOTS}
    started = [slot for slot in SLOTS if retained[slot] and retained[slot]["digest"] == note().get("digest")]
    slot = params["to"]
    if slot == "auto" and started:
        slot = started[0]
    elif slot == "auto":
        at_current = now and retained["current"] and snapshot_state.same(now, retained["current"])
        slot = "previous" if at_current else "current"
    return slot, retained[slot]


def restore(params, check_mode):
    now = snapshot_state.real(params["roles"])
    slot, target = choose(params, now)
    if not target:
        what = (
            "no state was ever verified on this server" if slot == "current" else "no earlier state was verified here"
        )
        raise Unusable(
            f"there is nothing to go back to: {what}", "set deepgram_release to the one that you want, and provision"
        )
    now = now or {**target, "files": {}, "models": {}, "release": ""}
    snapshot_state.check(slot, target)
    require_images(target, params["timeout_s"], check_mode, params["archive"])
    if not check_mode:
        # Models that only the later state has: they go when no container of it runs any more.
        models = sorted({*snapshot_state.surplus(target, now)[1], *note().get("models", [])} - set(target["models"]))
        reported = {
            "digest": target["digest"],
            "from_release": note().get("from_release", now["release"]),
            "models": models,
        }
        write_bytes(note_path(), json.dumps(reported).encode(), 0o600)
    files = snapshot_state.restore(slot, target, now, check_mode)
    return {
        "changed": bool(files),
        "release": target["release"],
        "from_release": note().get("from_release", now["release"]),
        "slot": slot,
        "files": files,
        "service": target["service"],
        "health": health(slot, target),
    }


def require_images(target, timeout, check_mode, archive=""):
    """Raises Unusable unless every image is here; one that a prune took is asked of the registry, or of the archive."""
    engine = target["service"]["engine"]
    for name in snapshot_images.missing(engine, target["images"]):
        try:
            if not check_mode:
                snapshot_images.fetch(engine, name, timeout, archive)
        except CommandFailed as error:
            ways = MISSING[snapshot_images.loopback.is_local(name)]
            what = f"the image {name} is gone from this server, and cannot be pulled: {error}"
            raise Unusable(what, f"{ways.format(release=target['release'])}; then run again") from error


def health(slot, target):
    """What the restored configurations of the Engines promise: `waits` is what deepgram_health asks about each."""
    urls, waits, texts = target["service"]["urls"], [], []
    for component, url in urls.items():
        kind = deepgram_components.kind(component)
        path = next((path for path in target["files"] if path.endswith(f"/{component}/engine.toml")), None)
        text = snapshot_state._text(snapshot_state.copy_of(slot, path)) if path else ""
        limit = re.search(r"^max_active_requests = (\d+)", text.partition("\n[")[0], re.MULTILINE)
        waits.append(
            {
                "names": {kind: component},
                "metrics_url": url[: -len("/metrics")] if kind == "engine" else "",
                "api_url": url[: -len("/v1/status")] if kind == "api" else "",
                "max_active_requests": limit[1] if limit else "",
            }
        )
        texts.append(text)
    return {
        "waits": waits,
        "gpu_required": any(re.search(r"^gpu_required = true", text, re.MULTILINE) for text in texts),
        "models_dir": os.path.dirname(next(iter(target["models"]), "/var/lib/deepgram/models/")),
    }


def settle(params, check_mode):
    """Ends a restoration."""
    reported = note()
    missing = [path for path in reported.get("models", []) if os.path.lexists(path)]
    if not check_mode:
        for path in missing:
            os.unlink(path)
        forget_note()
    now = snapshot_state.real(params["roles"])
    return {"changed": bool(missing), "release": now["release"] if now else ""}


def report(params, _check_mode):
    now = snapshot_state.real(params["roles"])
    retained = {slot: load(slot) for slot in SLOTS}
    slot, target = choose(params, now)
    return {
        "changed": False,
        **{name: state and brief(state) for name, state in retained.items()},
        "real": now and {key: now[key] for key in ("release", "digest", "finished")},
        "equals": next(
            (name for name, state in retained.items() if now and state and snapshot_state.same(now, state)), ""
        ),
        "would_restore": slot if target else "",
        "restoring": bool(note()),
    }


def brief(state):
    images = {name: snapshot_images.reference(image) for name, image in state["images"].items()}
    return {"release": state["release"], "date": day(state["at"]), "digest": state["digest"], "images": images}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["kept", "restored", "settled", "report"], "required": True},
            "to": {"type": "str", "choices": ["auto", *SLOTS], "default": "auto"},
            "if_verified": {"type": "bool", "default": False},
            "roles": {"type": "list", "elements": "str", "default": ["deepgram", "deepgram_models"]},
            "archive": {"type": "path", "default": ""},
            "timeout_s": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    work = {"kept": keep, "restored": restore, "settled": settle, "report": report}[module.params["state"]]
    lock = None
    try:
        if module.params["state"] != "report" and not module.check_mode:
            lock = hold_place()
        result = work(module.params, module.check_mode)
    except Unusable as error:
        fail(module, error, error.fix)
    except CommandFailed as error:
        if module.params["if_verified"]:  # whoever asked is about to repair the engine
            module.exit_json(changed=False, release="", warnings=[f"the verified state is not kept: {error}"])
        fail(module, f"the container engine refuses: {error}", "see that it runs and has the images; then run again")
    except OSError as error:
        fail(module, f"{error.filename or PLACE} cannot be used: {error.strerror}", "see to the disk, then run again")
    finally:
        if lock:
            lock.close()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
