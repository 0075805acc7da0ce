#!/usr/bin/python
"""Ansible module: settings in Docker's daemon.json, beside those that somebody else put there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_json
short_description: Merges settings into daemon.json and keeps all others
description:
  - Reads the file, merges O(settings) deeply over it and writes it only when that changes anything. A
    file that is not a JSON object is an error, and is left as it is. The result is validated by the daemon
    before it replaces the old file, of which a backup is kept.
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
  unit:
    description: The daemon's unit, for RV(restart_needed).
    type: str
    default: docker.service
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Let Docker hand out CDI devices
  daemon_json:
    settings: {features: {cdi: true}}
"""

RETURN = r"""
restart_needed:
  description: Does the daemon run with an older file? Also true when an earlier run ended between writing
    and restarting.
  type: bool
  returned: success
backup_file:
  description: Copy of the file as it was.
  type: str
  returned: when the file existed and changed
"""

import json
import os
import shlex
import shutil
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.outcome import fail, last_line, run


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


def write(module, path, text):
    """Writes beside the file, lets the daemon validate that, then replaces.

    Returns the backup's name, or None.
    """
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".daemon.json.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(scratch, 0o644)
        validate(module, path, scratch)
        backup = module.backup_local(path) if os.path.exists(path) else None
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
        said = (last_line(err) or last_line(out)).replace(scratch, path)
        fail(
            module,
            f"Docker refuses these settings for {path}: {said}",
            "Correct docker_daemon_options, or the key that it names in the file; nothing was written.",
            said,
        )


def restart_needed(path, unit):
    """Is the daemon running since before the file was last written?"""
    rc, out, _err = run(
        ["systemctl", "show", unit, "--property=ActiveState,ExecMainStartTimestamp", "--timestamp=unix"]
    )
    fields = dict(line.split("=", 1) for line in out.splitlines() if "=" in line) if rc == 0 else {}
    started = fields.get("ExecMainStartTimestamp", "").lstrip("@")
    running = fields.get("ActiveState") == "active" and started.isdigit() and os.path.exists(path)
    return running and int(os.path.getmtime(path)) > int(started)


def main():
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "validate": {"type": "str", "default": "dockerd --validate --config-file=%s"},
            "unit": {"type": "str", "default": "docker.service"},
        },
        supports_check_mode=True,
    )
    path, unit = module.params["path"], module.params["unit"]
    before, settings = load(module, path)
    merged = merge(settings, module.params["settings"])
    if merged == settings and before:
        module.exit_json(changed=False, restart_needed=restart_needed(path, unit))
    result = {
        "changed": True,
        "diff": {"before": before, "after": text_of(merged), "before_header": path, "after_header": path},
    }
    running = run(["systemctl", "is-active", "--quiet", unit])[0] == 0
    if not module.check_mode:
        result["backup_file"] = write(module, path, text_of(merged))
    module.exit_json(restart_needed=running, **result)


if __name__ == "__main__":
    main()
