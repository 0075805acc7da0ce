#!/usr/bin/python
"""Ansible module: the files of one directory, put in place only once the program that reads them has found them good."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checked_files
short_description: Puts the files of a directory in place once a program has checked them together
description:
  - A copy of the directory with the new files in it is checked first; where the check refuses it, nothing is changed.
  - Where the program is not installed yet nothing is checked, and the files are put in place for the package to find them.
options:
  root:
    description: The directory. It is made where it is missing.
    type: path
    required: true
  files:
    description: Files to have below it.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: The file., type: path, required: true}
      content: {description: What it holds., type: str, required: true}
      mode: {description: Its mode in octal digits., type: str, default: "0644"}
  secrets:
    description: Files of one line that is never shown.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: The file., type: path, required: true}
      content: {description: Its line. The line end is added., type: str, required: true}
      mode: {description: Its mode in octal digits., type: str, default: "0600"}
  check:
    description: The command; a word with O(root) in it gets the copy in its place.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Not for O(secrets).
"""
EXAMPLES = r"""
- name: Write the configuration
  checked_files:
    root: /etc/example
    files: [{path: /etc/example/prometheus.yml, content: "{{ example | to_nice_yaml }}"}]
    check: [promtool, check, config, /etc/example/prometheus.yml]
"""
RETURN = r"""
paths:
  description: The paths that were changed, or in check mode would be.
  type: list
  returned: success
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import os
import shutil
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, run
from ansible.module_utils.host.whole_file import is_so, text_of, write


def wanted(params):
    """[(path, content, mode, is it secret)] of all files."""
    plain = [(entry["path"], entry["content"], int(entry["mode"], 8), False) for entry in params["files"]]
    return plain + [
        (entry["path"], entry["content"] + "\n", int(entry["mode"], 8), True) for entry in params["secrets"]
    ]


def refusal(root, files, command):
    """What the command says against a copy of `root` with these files in it; "" for nothing."""
    if not shutil.which(command[0]):
        return ""
    scratch = tempfile.mkdtemp()  # 0700: it may hold secrets
    try:
        stage = os.path.join(scratch, "copy")
        if os.path.isdir(root):
            shutil.copytree(root, stage)
        for path, content, mode, _secret in files:
            write(stage + path[len(root) :], content, mode)
        rc, out, err = run([word.replace(root, stage) for word in command], timeout=60)
        said = [line.strip() for line in (err + "\n" + out).replace(stage, root).splitlines()]
        found = [line for line in said if "FAILED" in line or "error" in line.lower()] or said
        return "" if rc == 0 else " | ".join(filter(None, found))[:600] or f"it ended with {rc}"
    finally:
        shutil.rmtree(scratch)


def main():
    text, path = {"type": "str", "required": True}, {"type": "path", "required": True}

    def entries(mode, **content):
        options = {"path": path, "mode": {"type": "str", "default": mode}, **content}
        return {"type": "list", "elements": "dict", "default": [], "options": options}

    module = AnsibleModule(
        argument_spec={
            "root": path,
            "files": entries("0644", content=text),
            "secrets": {**entries("0600", content={**text, "no_log": True}), "no_log": False},
            "check": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    due = [entry for entry in wanted(params) if not is_so(*entry[:3])]
    try:
        said = refusal(params["root"], due, params["check"]) if due else ""
        if said:
            what = f"{' '.join(params['check'][:3])} refuses the files: {said}"
            fail(module, what, "correct the variable that it is about; nothing was changed on the server", said)
        diff = [difference(*entry) for entry in due if not entry[3]]
        for each, content, mode, _secret in due if not module.check_mode else []:
            write(each, content, mode)
    except OSError as error:
        what = f"{error.filename or params['root']} cannot be written: {error.strerror}"
        fail(module, what, "look at what is in its place, and at the room on its file system; then run again")
    module.exit_json(changed=bool(due), paths=[entry[0] for entry in due], diff=diff)


def difference(path, content, _mode, _secret):
    return {"before": text_of(path) or "", "after": content, "before_header": path, "after_header": path}


if __name__ == "__main__":
    main()
