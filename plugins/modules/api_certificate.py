#!/usr/bin/python
"""Has an API's certificate on the server: the user's own, or one that the deployment's authority signs."""

from __future__ import annotations

DOCUMENTATION = """
module: api_certificate
short_description: Has the certificate of Deepgram's API on a server, signed by the deployment's own authority
description:
  - The action plugin of the same name has the authority on the controller (made there with the first certificate, and followed
    by a new one before it ends), and signs what the module asks for. The server's key is made on the server and never leaves it.
  - A certificate is kept while it has exactly the wanted names, fits its key, was signed by one of the authorities, and does
    not end soon.
  - With O(certificate_content) and O(key_content) these are put in place instead.
options:
  state:
    description: V(present) has a certificate on the server. V(authority) only says who signs, and asks no server.
    type: str
    choices: [present, authority]
    default: present
  directory:
    description: Directory on the server for C(api.crt) (the chain), C(api.key) and C(authority.crt).
    type: path
    default: /etc/deepgram/tls
  names:
    description: Names and addresses that the certificate is for; the first one is its subject.
    type: list
    elements: str
    default: []
  days:
    description: Days that a new certificate is valid.
    type: int
    default: 397
  renew_days:
    description: Days before its end at which it is renewed.
    type: int
    default: 30
  owner:
    description: Number of the user who may read the key, as the container has it.
    type: int
    default: 0
  folder:
    description: Folder on the controller with the authority. Empty is C(api-authority) beside the inventory.
    type: str
    default: ""
  authority:
    description: Certificates of the authorities in PEM. Of the deployment's own the action plugin gives it.
    type: str
    default: ""
  certificate_content:
    description: The chain in PEM that is to be there.
    type: str
  key_content:
    description: Its key in PEM; without it the one that was made with the request.
    type: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
"""
EXAMPLES = """
- name: Have the certificate of the API
  api_certificate:
    names: [deepgram-api, 192.0.2.11, localhost]
"""
RETURN = """
authority:
  description: Certificates of the authorities in PEM.
  returned: success
  type: str
renew_at:
  description: From when on the certificate, or of V(authority) the authority, is renewed, in seconds since 1970; 0 for never.
  returned: success
  type: int
reason:
  description: Why a new certificate was needed, or an empty string.
  returned: success
  type: str
"""

import os
import re
import stat

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.openssl import OpensslFailed, alternative, due, is_key_of, openssl, outdated, subject
from ansible.module_utils.host.outcome import fail
from ansible.module_utils.host.whole_file import replace, text_of

FILES = {"certificate": "api.crt", "key": "api.key", "authority": "authority.crt"}
# What every library reads: which kinds of key Deepgram's API takes is not published.
KEY = ("rsa", "rsa_keygen_bits:3072")


def paths(params):
    return {name: os.path.join(params["directory"], file) for name, file in FILES.items()}


def unfit(params):
    """Why the certificate has to be renewed, or an empty string."""
    at = paths(params)
    if not os.path.exists(at["certificate"]) or not os.path.exists(at["key"]):
        return "there is none"
    if not is_key_of(at["certificate"], at["key"]):
        return "certificate and key do not belong together"
    why = outdated(at["certificate"], params["names"], params["renew_days"])
    if why:
        return why
    signed = any(one in (text_of(at["certificate"]) or "") for one in blocks(params["authority"]))
    return "" if signed else "another authority signed it"


def blocks(pem):
    """The certificates in a PEM text."""
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem or "", re.DOTALL)


def request(params):
    """A new key beside the one in use, and the request for its certificate in PEM."""
    new = paths(params)["key"] + ".new"
    os.makedirs(params["directory"], mode=0o755, exist_ok=True)
    before = os.umask(0o077)
    try:
        openssl("genpkey", "-algorithm", KEY[0], "-pkeyopt", KEY[1], "-out", new)
    finally:
        os.umask(before)
    names = ",".join(sorted({alternative(name) for name in params["names"]}))
    asked = ["-subj", subject(params["names"][0]), "-addext", f"subjectAltName={names}"]
    return openssl("req", "-new", "-key", new, *asked)[1]


def put(path, text, mode, owner=0):
    """Has a file with this text, whole or not at all; True when it was not so."""
    before = os.stat(path) if os.path.exists(path) else None
    if before and text_of(path) == text and (stat.S_IMODE(before.st_mode), before.st_uid) == (mode, owner):
        return False
    replace(path, text.encode("utf-8", "surrogateescape"), mode, (owner, -1) if os.geteuid() == 0 else None)
    return True


def install(params, check_mode):
    """Has the given chain, its key and the authority in place; True when something was not so.

    All are for their owner alone: of such files a snapshot keeps no copy, and a rollback does not part a pair.
    """
    at, owner = paths(params), params["owner"]
    key = params["key_content"] or text_of(at["key"] + ".new") or text_of(at["key"])
    desired = [
        ("key", key, 0o600, owner),
        ("certificate", params["certificate_content"], 0o600, owner),
        ("authority", params["authority"], 0o600, 0),
    ]
    if check_mode:
        return any(text_of(at[name]) != text for name, text, _, _ in desired)
    os.makedirs(params["directory"], mode=0o755, exist_ok=True)
    changed = [put(at[name], text, mode, uid) for name, text, mode, uid in desired if text]
    if os.path.exists(at["key"] + ".new"):
        os.unlink(at["key"] + ".new")
    return any(changed)


def settled(params, check_mode):
    """Modes, owner and the authority of a certificate that stays; True when they were not so."""
    at = paths(params)
    retained = {**params, "certificate_content": text_of(at["certificate"]), "key_content": text_of(at["key"])}
    return install(retained, check_mode)


def renew_at(params):
    """When the certificate is due to be renewed; never for a user's own."""
    if params["key_content"] or not os.path.exists(paths(params)["certificate"]):
        return 0
    return due(paths(params)["certificate"], params["renew_days"])


def outcome(params, check_mode):
    """What there is to say: {changed, reason, renew_at}, and a request where a certificate is to be signed."""
    if params["certificate_content"] is not None:
        changed = install(params, check_mode)
        return {"changed": changed, "reason": "", "renew_at": renew_at(params)}
    reason = unfit(params)
    if reason and not check_mode:
        return {"changed": True, "reason": reason, "request": request(params), "renew_at": 0}
    return {"changed": bool(reason) or settled(params, check_mode), "reason": reason, "renew_at": renew_at(params)}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["present", "authority"], "default": "present"},
            "directory": {"type": "path", "default": "/etc/deepgram/tls"},
            "names": {"type": "list", "elements": "str", "default": []},
            "days": {"type": "int", "default": 397},
            "renew_days": {"type": "int", "default": 30},
            "owner": {"type": "int", "default": 0},
            "folder": {"type": "str", "default": ""},
            "authority": {"type": "str", "default": ""},
            "certificate_content": {"type": "str"},
            "key_content": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**outcome(module.params, module.check_mode), authority=module.params["authority"])
    except OpensslFailed as error:
        if module.check_mode:
            module.exit_json(changed=True, reason="there is none", renew_at=0, authority=module.params["authority"])
        fail(module, f"no certificate for the API could be made: {error}", "install openssl, then run again")


if __name__ == "__main__":
    main()
