#!/usr/bin/python
"""Ansible module: settings in Docker's daemon.json, beside those that somebody else put there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_json
short_description: Merges settings into daemon.json and keeps all others
description:
  - Reads the file, merges O(settings) deeply over it and writes it only when that changes anything. A
    file that is not a JSON object is an error, and is left as it is. The result is validated by the daemon
    before it replaces the old file. Of a file that somebody else wrote one backup is kept, as it was before the first
    change, with C(.before-dgctl) at its end.
  - With O(run) the daemon then runs with these settings, now and at boot. One that runs with an older file is
    restarted, also when an earlier run ended between writing and restarting.
  - Lists and scalars in O(settings) replace what is there; a key that leaves O(settings) stays in the
    file.
options:
  settings:
    description: Settings to merge.
    type: dict
    required: true
  path:
    description: The file.
    type: path
    default: /etc/docker/daemon.json
  validate:
    description: Command that fails for a bad file, with C(%s) for its name; skipped while its program is
      not installed.
    type: str
    default: dockerd --validate --config-file=%s
  run:
    description: Whether to restart, start and enable the daemon as needed.
    type: bool
    default: false
  restart:
    description: With O(run), restart the daemon in any case, as when there is a program now that it looks for once.
    type: bool
    default: false
  unit:
    description: The daemon's unit.
    type: str
    default: docker.service
extends_documentation_fragment:
  - check_mode.diff
"""

EXAMPLES = r"""
- name: Let Docker hand out CDI devices
  daemon_json:
    settings: {features: {cdi: true}}
"""

RETURN = r"""
backup_file:
  description: Copy of the file as it was before the first change.
  type: str
  returned: when somebody else's file was changed for the first time
settings:
  description: The settings that were asked for; after the call the file holds them.
  type: dict
  returned: success
running:
  description: Whether the daemon ran before this call.
  type: bool
  returned: success
"""

import json
import os
import shlex
import shutil
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.files import written_after
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.systemd import properties, systemctl
from ansible.module_utils.host.units import is_active, is_enabled, last_start
from ansible.module_utils.host.whole_file import settle_rights

BACKUP = ".before-dgctl"


def merge(below, above):
    """above over below; dicts are merged key by key, everything else is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    merged = dict(below)
    for key, value in above.items():
        merged[key] = merge(below[key], value) if key in below else value
    return merged


def text_of(settings):
    return json.dumps(settings, indent=4) + "\n"


def load(module, path):
    """(text, settings) of the file; an absent or empty file has no settings."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        return "", {}
    except (OSError, UnicodeDecodeError) as error:
        fail(module, f"{path} cannot be read: {error}", "Repair it by hand; nothing was written.")
    try:
        settings = json.loads(text) if text.strip() else {}
    except ValueError as error:
        fail(
            module,
            f"{path} is not valid JSON: {error}",
            f"Correct that place in the file (jq . {path} shows it); nothing was written.",
            text,
        )
    if not isinstance(settings, dict):
        fail(module, f"{path} holds no JSON object", "Make it an object in braces; nothing was written.", text)
    return text, settings


def keep(path, settings, desired):
    """Keeps somebody else's file as it is before the first change; its name, or None where there is nothing to keep."""
    backup = path + BACKUP
    before = read_text(path)
    ours = before == text_of(settings) and set(settings) <= set(desired)
    if not before or ours or os.path.exists(backup):
        return None
    shutil.copy2(path, backup)
    return backup


def read_text(path):
    """A file's text; "" where there is none."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def write(module, path, text, settings):
    """Writes beside the file, lets the daemon validate that, then replaces; what `keep` kept.

    settings: those that the file has now.
    """
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".daemon.json.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(scratch, 0o644)
        validate(module, path, scratch)
        backup = keep(path, settings, module.params["settings"])
        module.atomic_move(scratch, os.path.realpath(path))
    finally:
        if os.path.exists(scratch):
            os.unlink(scratch)
    return backup


def validate(module, path, scratch):
    argv = shlex.split(module.params["validate"].replace("%s", shlex.quote(scratch)))
    if shutil.which(argv[0]) is None:
        return
    rc, out, err = run(argv)
    if rc != 0:
        reported = (last_line(err) or last_line(out)).replace(scratch, path)
        fail(
            module,
            f"Docker refuses these settings for {path}: {reported}",
            "Correct docker_daemon_options, or the key that it names in the file; nothing was written.",
            reported,
        )


def state(unit):
    """What systemd says about the daemon; ActiveState is missing where there is no systemd."""
    return properties(unit, "LoadState", "ActiveState", "UnitFileState", "ExecMainStartTimestampMonotonic")


def runs_with_older(path, seen):
    """Was the file written after the daemon started?"""
    moment = last_start(seen)
    return bool(moment and written_after([path], moment))


def run_daemon(module, changing):
    """Has the daemon run with the file as it is, now and at boot; True when something was done, or would be.

    changing: in check mode the file would change.
    """
    path, unit = module.params["path"], module.params["unit"]
    seen = state(unit)
    if module.check_mode and seen.get("LoadState") != "loaded":
        return True
    active, enabled = is_active(seen), is_enabled(seen)
    older = active and (changing or module.params["restart"] or runs_with_older(path, seen))
    if module.check_mode or (enabled and active and not older):
        return older or not (enabled and active)
    if not active:
        # One that could not start, for a file that has been mended since, is not refused for failing too often.
        run(["systemctl", "reset-failed", unit])
    # Reload first: that takes live-restore in, and the containers of a daemon that had it off survive too.
    for due, verb in ((older, "reload"), (older, "restart"), (not active, "start"), (not enabled, "enable")):
        if due:
            systemctl(module, unit, f"see `journalctl -u {unit}` on the server", verb, unit, timeout=300)
    return True


def settle(module):
    """The module's result: the file as wanted, then the daemon where that is asked for."""
    path = module.params["path"]
    before, settings = load(module, path)
    merged = merge(settings, module.params["settings"])
    result = {"changed": merged != settings or not before, "settings": module.params["settings"]}
    result["running"] = is_active(state(module.params["unit"]))
    if result["changed"]:
        result["diff"] = {"before": before, "after": text_of(merged), "before_header": path, "after_header": path}
        if not module.check_mode:
            backup = write(module, path, text_of(merged), settings)
            result.update({"backup_file": backup} if backup else {})
    if os.path.exists(path):
        # Before the daemon, which reads it; a move keeps the rights that the file had.
        result["changed"] |= settle_rights(path, 0o644, module.check_mode)
    if module.params["run"]:
        result["changed"] |= run_daemon(module, result["changed"] and module.check_mode)
    return result


def main():
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "validate": {"type": "str", "default": "dockerd --validate --config-file=%s"},
            "run": {"type": "bool", "default": False},
            "restart": {"type": "bool", "default": False},
            "unit": {"type": "str", "default": "docker.service"},
        },
        supports_check_mode=True,
    )
    module.exit_json(**settle(module))


if __name__ == "__main__":
    main()
