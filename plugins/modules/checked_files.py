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
      group: {description: "The group that may read it, where its mode says so; that of a package.", type: str, default: ""}
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

import grp
import os
import shutil
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail, run
from ansible.module_utils.host.whole_file import text_of, write


class File:
    """A file to have: `group` is empty for that of whom the module runs as."""

    def __init__(self, entry, secret):
        self.path, self.mode, self.secret = entry["path"], int(entry["mode"], 8), secret
        self.content, self.group = entry["content"] + ("\n" if secret else ""), entry.get("group") or ""

    def gid(self):
        """The group's number; None where there is no such group yet."""
        if not self.group:
            return os.getegid()
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            return None

    def is_there(self):
        """Whether it is so already."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return False
        rights = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), self.gid(), self.mode)
        return stat.S_ISREG(found.st_mode) and rights and text_of(self.path) == self.content

    def put(self):
        """Replaces it whole. Nobody else may read it before its group is right."""
        write(self.path, self.content, self.mode if not self.group else 0o600)
        if self.group:
            os.chown(self.path, os.geteuid(), self.gid())
            os.chmod(self.path, self.mode)

    def difference(self):
        before = text_of(self.path) or ""
        return {"before": before, "after": self.content, "before_header": self.path, "after_header": self.path}


def refusal(root, files, command):
    """What the command says against a copy of `root` with these files in it; "" for nothing."""
    if not shutil.which(command[0]):
        return ""
    scratch = tempfile.mkdtemp()  # 0700: it may hold secrets
    try:
        stage = os.path.join(scratch, "copy")
        if os.path.isdir(root):
            shutil.copytree(root, stage)
        for file in files:
            write(stage + file.path[len(root) :], file.content, file.mode)
        rc, out, err = run([word.replace(root, stage) for word in command], timeout=60)
        reported = [line.strip() for line in (err + "\n" + out).replace(stage, root).splitlines()]
        found = [line for line in reported if "FAILED" in line or "error" in line.lower()] or reported
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
            "secrets": {**entries("0600", content={**text, "no_log": True}, group={"default": ""}), "no_log": False},
            "check": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    files = [File(entry, False) for entry in params["files"]] + [File(entry, True) for entry in params["secrets"]]
    due = [file for file in files if not file.is_there()]
    try:
        reported = refusal(params["root"], due, params["check"]) if due else ""
        if reported:
            what = f"{' '.join(params['check'][:3])} refuses the files: {reported}"
            fail(module, what, "correct the variable that it is about; nothing was changed on the server", reported)
        diff = [file.difference() for file in due if not file.secret]
        for file in due if not module.check_mode else []:
            if file.gid() is None:
                fail(
                    module,
                    f"{file.path}: there is no group {file.group}",
                    "install the package that makes it",
                    file.group,
                )
            file.put()
    except OSError as error:
        what = f"{error.filename or params['root']} cannot be written: {error.strerror}"
        fail(module, what, "look at what is in its place, and at the room on its file system; then run again")
    module.exit_json(changed=bool(due), paths=[file.path for file in due], diff=diff)


if __name__ == "__main__":
    main()
