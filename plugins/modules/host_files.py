#!/usr/bin/python
"""Ansible module: several files and directories in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Puts files and directories in place, and takes others away, in one call
description:
  - The content comes from the controller, as C(lookup('ansible.builtin.template', ...)) renders it. Each file is
    replaced whole or not at all, belongs to the user that the module runs as, and is left alone when it is right.
  - The order is directories, O(secrets), O(files), O(absent), each list from its first entry on.
options:
  directories:
    description: Directories to have. Those above them are made where they are missing.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: The directory., type: path, required: true}
      mode: {description: Its mode in octal digits., type: str, default: "0755"}
      owner: {description: "Number of its user and group; 0: whom the module runs as.", type: int, default: 0}
  files:
    description: Files to have.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: The file., type: path, required: true}
      content: {description: What it holds., type: str, required: true}
      mode: {description: Its mode in octal digits., type: str, default: "0644"}
      owner: {description: "Number of its user and group; 0: whom the module runs as.", type: int, default: 0}
  secrets:
    description: Files of one line that is never shown, neither as a difference nor with the arguments.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: The file., type: path, required: true}
      content: {description: Its line. The line end is added., type: str, required: true}
      mode: {description: Its mode in octal digits., type: str, default: "0600"}
      owner: {description: "Number of its user and group; 0: whom the module runs as.", type: int, default: 0}
  fill:
    description:
      - Secrets that stand in O(files) as C(${NAME}), each of one line. They are filled in on the server, and never shown.
    type: dict
    default: {}
  absent:
    description: Files not to have.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Not for O(secrets), and never with a secret of O(fill), be it the one of before.
"""

EXAMPLES = r"""
- name: Write the configuration
  host_files:
    directories: [{path: /etc/example}]
    files: [{path: /etc/example/a.conf, content: "{{ lookup('ansible.builtin.template', 'a.conf.j2') }}"}]
    secrets: [{path: /etc/example/key, content: "{{ example_key }}"}]
    absent: [/etc/example/old.conf]
"""

RETURN = r"""
paths:
  description: The paths that were changed, or in check mode would be.
  type: list
  returned: success
"""

import errno
import os
import stat

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail
from ansible.module_utils.host.whole_file import is_ours, is_so, text_of, write

HIDDEN = "not shown: it held a secret\n"


def octal(text):
    """The mode of "0644"."""
    return int(text, 8)


def make_directory(entry, check_mode):
    """Makes a directory or mends its mode and owner; True when that was needed."""
    path, mode = entry["path"], octal(entry["mode"])
    owner = entry.get("owner")
    if os.path.isdir(path):
        status = os.stat(path)
        if is_ours(status, owner) and stat.S_IMODE(status.st_mode) == mode:
            return False
    if not check_mode:
        os.makedirs(path, mode=0o755, exist_ok=True)
        os.chown(path, owner or os.geteuid(), owner or os.getegid())
        os.chmod(path, mode)
    return True


def put(entry, check_mode):
    """Writes a file that is not as it should be; True when that was needed."""
    path, content, mode = entry["path"], entry["content"], octal(entry["mode"])
    owner = entry.get("owner")
    if is_so(path, content, mode, owner):
        return False
    if not check_mode:
        write(path, content, mode, owner)
    return True


def line(entry):
    """The content of a secret file; Ansible can keep only a text of one line out of the host's log."""
    if "\n" in entry["content"]:
        raise OSError(errno.EINVAL, "its content has more than one line", entry["path"])
    return entry["content"] + "\n"


def filled(content, fill):
    """A file's content with the secrets in their places."""
    for name, secret in fill.items():
        content = content.replace(mark(name), secret)
    return content


def mark(name):
    return "${" + name + "}"


def before_of(path, content, fill):
    """What a file held, without its secrets: those of before are not known, only the lines in which they stand."""
    before = text_of(path) or ""
    keyed = [line for line in content.splitlines() if any(mark(name) in line for name in fill)]
    if not keyed and is_private(path):
        return HIDDEN
    for line in keyed:
        head, _, rest = line.partition("${")
        lines = [
            line if seen.startswith(head) and seen.endswith(rest.partition("}")[2]) else seen
            for seen in before.splitlines()
        ]
        before = "".join(f"{seen}\n" for seen in lines)
    return before


def is_private(path):
    """Whether nobody but its owner may read a file that is there."""
    return os.path.exists(path) and not os.stat(path).st_mode & 0o077


def remove(path, check_mode):
    """Removes a file; True when it was there."""
    if not os.path.lexists(path):
        return False
    if not check_mode:
        os.unlink(path)
    return True


def difference(path, before, after):
    return {"before": before or "", "after": after or "", "before_header": path, "after_header": path}


def work(params, check_mode):
    """(changed paths, their differences)."""
    paths = [entry["path"] for entry in params["directories"] if make_directory(entry, check_mode)]
    paths += [entry["path"] for entry in params["secrets"] if put({**entry, "content": line(entry)}, check_mode)]
    differences, fill = [], params.get("fill") or {}
    for entry in params["files"]:
        before = before_of(entry["path"], entry["content"], fill)
        if put({**entry, "content": filled(entry["content"], fill)}, check_mode):
            paths.append(entry["path"])
            differences.append(difference(entry["path"], before, entry["content"]))
    missing = [path for path in params["absent"] if remove(path, check_mode)]
    return paths + missing, differences + [difference(path, "present\n", "") for path in missing]


def main():
    def entries(mode, **content):
        path = {"type": "path", "required": True}
        options = {
            "path": path,
            "mode": {"type": "str", "default": mode},
            "owner": {"type": "int", "default": 0},
            **content,
        }
        return {"type": "list", "elements": "dict", "default": [], "options": options}

    text = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "directories": entries("0755"),
            "files": entries("0644", content=text),
            "secrets": {**entries("0600", content={**text, "no_log": True}), "no_log": False},
            "fill": {"type": "dict", "default": {}, "no_log": True},
            "absent": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        paths, differences = work(module.params, module.check_mode)
    except OSError as error:
        fail(
            module,
            f"{error.filename or 'A file'} cannot be written: {error.strerror}",
            "Look at what is in its place on the host, and at the room on its file system; then run again.",
        )
    module.exit_json(changed=bool(paths), paths=paths, diff=differences)


if __name__ == "__main__":
    main()
