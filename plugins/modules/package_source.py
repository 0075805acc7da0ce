#!/usr/bin/python
"""Ansible module: a repository of packages, and its signing key, trusted by its fingerprint."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_source
short_description: Adds a repository of packages once its key has the pinned fingerprint
description:
  - Fetches the key over HTTPS unless it is given, checks that the file holds exactly one primary key with the expected
    fingerprint, and writes it for C(Signed-By) or C(gpgkey=file://). A key that is there already and matches
    is not fetched again.
  - Then writes the file that names the repository.
  - Needs neither gpg nor python3-debian on the host.
options:
  path:
    description: The file in C(/etc/apt/sources.list.d) or C(/etc/yum.repos.d) that names the repository.
    type: path
    required: true
  content:
    description: What it holds.
    type: str
    required: true
  key_url:
    description: HTTPS address of the key, armored or binary.
    type: str
    required: true
  key_text:
    description: The key itself, armored. It is used instead of what O(key_url) serves, and nothing is fetched.
    type: str
    default: ""
  fingerprint:
    description: Fingerprint of the primary key, 40 hex digits; blanks are allowed. Empty where O(sha256) pins the key.
    type: str
    required: true
  sha256:
    description:
      - SHA-256 of the key's file without lines that begin with C(Version), as C(sed '/^Version/d' FILE | sha256sum) prints it.
      - It pins a key whose fingerprint nobody has published. A fingerprint counts before it.
    type: str
    default: ""
  key:
    description: Where the key goes. A name that ends in C(.gpg) gets it in binary form, any other armored, as rpm wants it.
    type: path
    required: true
  variable:
    description: Prefix of the variables to name in errors, as in C(nvidia_driver_repository_key).
    type: str
    default: repository_key
  timeout:
    description: Seconds to wait for the server.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: For the repository's file alone.
"""

EXAMPLES = r"""
- name: Add NVIDIA's repository
  package_source:
    path: /etc/apt/sources.list.d/nvidia-container-toolkit.sources
    content: "{{ lookup('ansible.builtin.template', 'nvidia-container-toolkit.sources.j2') }}"
    key: /etc/apt/keyrings/nvidia-container-toolkit.gpg
    key_url: https://nvidia.github.io/libnvidia-container/gpgkey
    fingerprint: C95B321B61E88C1809C4F759DDCAE044F796ECB0
"""

RETURN = r"""
fingerprint:
  description: The fingerprint of the trusted key.
  returned: success
  type: str
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.https import advice, ask
from ansible.module_utils.host.outcome import fail
from ansible.module_utils.host.whole_file import is_so, settle_rights, text_of, write
from ansible.module_utils.packages import openpgp

LIMIT = 1024 * 1024  # bytes; NVIDIA's keys have 2 to 4 kB


def installed(path, fingerprint, sha256):
    """The fingerprint of the key in a file, if it is the pinned key, alone; "" if not."""
    try:
        with open(path, "rb") as stream:
            data = stream.read()
        found = openpgp.fingerprints(openpgp.dearmor(data))
    except (OSError, ValueError):
        return ""
    right = found == [fingerprint] if fingerprint else openpgp.file_sum(data) == sha256 and len(found) == 1
    return found[0] if right else ""


def download(module, url, variable):
    if not url.startswith("https://"):
        fail(
            module,
            f"{variable}_url {url} is not https",
            "Give an https:// address: the key decides whose packages are installed.",
            url,
        )
    answer = ask(url, timeout=module.params["timeout"], read_limit=LIMIT)
    if answer.error or answer.status != 200:
        why = answer.error or f"HTTP {answer.status}"
        fix = advice(answer.error, url.split("/")[2]) if answer.error else f"Correct {variable}_url."
        fail(module, f"Cannot fetch the repository key {url}: {why}", fix, url)
    return answer.body


def given(module):
    """(bytes of the key, where they are from, the variable that says so)."""
    params = module.params
    if params["key_text"]:
        return params["key_text"].encode(), params["variable"], params["variable"]
    return download(module, params["key_url"], params["variable"]), params["key_url"], params["variable"] + "_url"


def checked(module, fingerprint, sha256):
    """(the key's file, its fingerprint), if it is the expected key and no other key comes with it."""
    data, place, variable = given(module)
    try:
        binary = openpgp.dearmor(data)
        found = openpgp.fingerprints(binary)
    except ValueError as error:
        fail(module, f"There is no repository key in {place}: {error}", f"Correct {variable}.", place)
    wrong = other_than(data, found, fingerprint, sha256)
    if wrong:
        fail(
            module,
            f"The key in {place} has {wrong}",
            (
                f"Do not go on before you know why. If the repository's owner announced a new key, set "
                f"{module.params['variable']}_fingerprint."
            ),
            ", ".join(found),
        )
    return data, found[0]


def other_than(data, found, fingerprint, sha256):
    """What a key's file has in place of what is expected; "" for the pinned key, alone."""
    seen = "fingerprint " + (" and ".join(found) or "none")
    if fingerprint:
        return "" if found == [fingerprint] else f"{seen}, expected {fingerprint}"
    if openpgp.file_sum(data) != sha256:
        return f"{seen} and SHA-256 {openpgp.file_sum(data)}, expected SHA-256 {sha256}"
    return "" if len(found) == 1 else f"{seen}, expected one key alone"


def write_key(module, path, data, as_served):
    """Writes a key for apt (binary) or for rpm (armored); `as_served`: without Version, so that its sum is the pinned one."""
    binary = openpgp.dearmor(data)
    if not path.endswith(".gpg"):
        binary = openpgp.unversioned(data) if as_served and binary != data else openpgp.armor(binary)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "wb") as stream:
        stream.write(binary)
    module.atomic_move(scratch, path)
    os.chmod(path, 0o644)


def trust(module):
    """Has the key in its place, readable by all; (whether that changed anything, its fingerprint)."""
    params = module.params
    fingerprint, sha256 = params["fingerprint"].replace(" ", "").upper(), params["sha256"].strip().lower()
    if not fingerprint and not sha256:
        fail(
            module,
            f"Nothing says which key signs {params['path']}",
            f"Set {params['variable']}_fingerprint to the 40 digits that the repository's owner publishes.",
            params["key_url"],
        )
    there = installed(params["key"], fingerprint, sha256)
    if there:
        return settle_rights(params["key"], 0o644, module.check_mode), there
    data, found = checked(module, fingerprint, sha256)
    same = params["key"].endswith(".gpg") and bool(installed(params["key"], found, ""))
    if same:
        return settle_rights(params["key"], 0o644, module.check_mode), found
    if not module.check_mode:
        write_key(module, params["key"], data, not fingerprint)
    return True, found


def add(module):
    """Has the repository's file; (whether it was not so, its difference)."""
    path, content = module.params["path"], module.params["content"]
    if is_so(path, content, 0o644):
        return False, {}
    before = text_of(path) or ""
    if not module.check_mode:
        write(path, content, 0o644)
    return True, {"before": before, "after": content, "before_header": path, "after_header": path}


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
            "key": {"type": "path", "required": True, "no_log": False},
            "key_url": {"type": "str", "required": True, "no_log": False},
            "key_text": {"type": "str", "default": "", "no_log": False},
            "fingerprint": {"type": "str", "required": True},
            "sha256": {"type": "str", "default": ""},
            "variable": {"type": "str", "default": "repository_key"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    trusted, fingerprint = trust(module)
    added, difference = add(module)
    module.exit_json(changed=trusted or added, diff=difference, fingerprint=fingerprint)


if __name__ == "__main__":
    main()
