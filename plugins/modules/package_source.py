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
    description: Fingerprint of the primary key, 40 hex digits; blanks are allowed.
    type: str
    required: true
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

RETURN = r""" # """

import os
import tempfile

from ansible.module_utils import openpgp
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.https import advice, ask
from ansible.module_utils.outcome import fail
from ansible.module_utils.whole_file import is_so, settle_rights, text_of, write

LIMIT = 1024 * 1024  # bytes; NVIDIA's keys have 2 to 4 kB


def installed(path, fingerprint):
    """Is this very key there, alone?"""
    try:
        with open(path, "rb") as stream:
            return openpgp.fingerprints(openpgp.dearmor(stream.read())) == [fingerprint]
    except (OSError, ValueError):
        return False


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


def checked(module, fingerprint):
    """The key in binary form, if it is the expected one and no other key comes with it."""
    data, place, variable = given(module)
    try:
        binary = openpgp.dearmor(data)
        found = openpgp.fingerprints(binary)
    except ValueError as error:
        fail(module, f"There is no repository key in {place}: {error}", f"Correct {variable}.", place)
    if found != [fingerprint]:
        fail(
            module,
            "The key in {} has fingerprint {}, expected {}".format(place, " and ".join(found) or "none", fingerprint),
            (
                f"Do not go on before you know why. If the repository's owner announced a new key, set "
                f"{module.params['variable']}_fingerprint."
            ),
            ", ".join(found),
        )
    return binary


def write_key(module, path, binary):
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "wb") as stream:
        stream.write(binary if path.endswith(".gpg") else openpgp.armor(binary))
    module.atomic_move(scratch, path)
    os.chmod(path, 0o644)


def trust(module):
    """Has the key in its place; True when it was not there."""
    params = module.params
    fingerprint = params["fingerprint"].replace(" ", "").upper()
    if not fingerprint:
        fail(
            module,
            f"Nothing says which key signs {params['path']}",
            f"Set {params['variable']}_fingerprint to the 40 digits that the repository's owner publishes.",
            params["key_url"],
        )
    if installed(params["key"], fingerprint):
        return settle_rights(params["key"], 0o644, module.check_mode)
    binary = checked(module, fingerprint)
    if not module.check_mode:
        write_key(module, params["key"], binary)
    return True


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
            "variable": {"type": "str", "default": "repository_key"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    trusted = trust(module)
    added, difference = add(module)
    module.exit_json(changed=trusted or added, diff=difference)


if __name__ == "__main__":
    main()
