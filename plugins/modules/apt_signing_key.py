#!/usr/bin/python
"""Ansible module: the signing key of an APT repository, trusted by its fingerprint."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_signing_key
short_description: Downloads a repository key and installs it only when its fingerprint is the pinned one
description:
  - Fetches the key over HTTPS, checks that the file holds exactly one primary key with the expected
    fingerprint, and writes it in binary form for C(Signed-By). A key that is there already and matches is
    not fetched again.
  - Needs neither gpg nor python3-debian on the host.
options:
  url:
    description: HTTPS address of the key, armored or binary.
    type: str
    required: true
  fingerprint:
    description: Fingerprint of the primary key, 40 hex digits; blanks are allowed.
    type: str
    required: true
  path:
    description: Where the key goes, a name that ends in C(.gpg).
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
"""

EXAMPLES = r"""
- name: Trust NVIDIA's key
  apt_signing_key:
    url: https://nvidia.github.io/libnvidia-container/gpgkey
    fingerprint: C95B321B61E88C1809C4F759DDCAE044F796ECB0
    path: /etc/apt/keyrings/nvidia-container-toolkit.gpg
"""

RETURN = r"""
fingerprint:
  description: The fingerprint of the key that is installed, or would be.
  type: str
  returned: success
"""

import os
import tempfile

from ansible.module_utils import openpgp
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.https import advice, ask
from ansible.module_utils.outcome import fail

LIMIT = 1024 * 1024  # bytes; NVIDIA's keys have 2 to 4 kB


def installed(path, fingerprint):
    """Is this very key there, alone?"""
    try:
        with open(path, "rb") as stream:
            return openpgp.fingerprints(stream.read()) == [fingerprint]
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


def checked(module, data, fingerprint, url, variable):
    """The key in binary form, if it is the expected one and no other key comes with it."""
    try:
        binary = openpgp.dearmor(data)
        found = openpgp.fingerprints(binary)
    except ValueError as error:
        fail(module, f"What {url} serves is no repository key: {error}", f"Correct {variable}_url.", url)
    if found != [fingerprint]:
        fail(
            module,
            "The key at {} has fingerprint {}, expected {}".format(url, " and ".join(found) or "none", fingerprint),
            (
                f"Do not go on before you know why. If the repository's owner announced a new key, set "
                f"{variable}_fingerprint."
            ),
            ", ".join(found),
        )
    return binary


def write(module, path, binary):
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "wb") as stream:
        stream.write(binary)
    module.atomic_move(scratch, path)
    os.chmod(path, 0o644)


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "fingerprint": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "variable": {"type": "str", "default": "repository_key"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    url, path, variable = module.params["url"], module.params["path"], module.params["variable"]
    fingerprint = module.params["fingerprint"].replace(" ", "").upper()
    if installed(path, fingerprint):
        module.exit_json(changed=False, fingerprint=fingerprint)
    binary = checked(module, download(module, url, variable), fingerprint, url, variable)
    if not module.check_mode:
        write(module, path, binary)
    module.exit_json(changed=True, fingerprint=fingerprint)


if __name__ == "__main__":
    main()
