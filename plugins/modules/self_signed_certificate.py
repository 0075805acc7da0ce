#!/usr/bin/python
"""Makes a self-signed TLS certificate, and renews it when it no longer fits."""

from __future__ import annotations

DOCUMENTATION = """
module: self_signed_certificate
short_description: Makes a self-signed TLS certificate with openssl
description:
  - The certificate is kept while it is self-signed, has exactly the wanted names, fits its key and does not end soon.
options:
  certificate:
    description: PEM file of the certificate.
    type: path
    required: true
  key:
    description: PEM file of the key (EC P-256), readable by root alone.
    type: path
    required: true
  names:
    description: Names and addresses that the certificate is for; the first one is its subject.
    type: list
    elements: str
    required: true
  days:
    description: Days that a new certificate is valid.
    type: int
    default: 825
  renew_days:
    description: Days before its end at which it is renewed.
    type: int
    default: 30
  replace:
    description: >-
      Whether one that is somebody else's, has other names or ends soon is replaced. With V(false) any certificate is kept that
      its key fits, so that a server has one before an authority gives it its own.
    type: bool
    default: true
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = """
- name: Make a certificate
  self_signed_certificate:
    certificate: /etc/nginx/tls/deepgram.crt
    key: /etc/nginx/tls/deepgram.key
    names: [gpu1.example.com, 192.0.2.11]
"""
RETURN = """
renew_at:
  description: From when on it is renewed, in seconds since 1970; 0 where there is no certificate.
  returned: success
  type: int
reason:
  description: Why a new certificate was needed, or an empty string.
  returned: success
  type: str
"""

import os
import shutil
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.openssl import OpensslFailed, alternative, due, is_key_of, openssl, outdated, subject
from ansible.module_utils.host.whole_file import settle_rights


def other(path, kind):
    """Does a file hold anything but what openssl wrote there?"""
    with open(path, errors="replace") as file:
        return file.read().split() != openssl(kind, "-in", path, check=False)[1].split()


def unfit(params):
    """Why the certificate has to be renewed, or an empty string."""
    certificate, key = params["certificate"], params["key"]
    if not os.path.exists(certificate) or not os.path.exists(key):
        return "there is none"
    if stat.S_IMODE(os.stat(key).st_mode) != 0o600:
        return "others than root could read its key"
    rc = openssl("x509", "-in", certificate, "-noout", check=False)[0]
    replace = params.get("replace", True)
    if not rc and replace and any(other(path, kind) for path, kind in ((certificate, "x509"), (key, "pkey"))):
        return "its file, or its key's, holds something else too"
    if not is_key_of(certificate, key):
        return "certificate and key do not belong together"
    if not replace:
        return ""
    own, issuer = (
        openssl("x509", "-in", certificate, "-noout", f"-{part}")[1].partition("=")[2] for part in ("subject", "issuer")
    )
    if own != issuer:
        return "it is not self-signed"
    return outdated(certificate, params["names"], params["renew_days"])


def renew_at(params):
    """When the certificate is due to be renewed."""
    if not os.path.exists(params["certificate"]):
        return 0
    return due(params["certificate"], params["renew_days"])


def make(params):
    """Writes key and certificate, each whole or not at all."""
    for path in (params["certificate"], params["key"]):
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    os.umask(0o077)
    scratch = tempfile.mkdtemp(dir=os.path.dirname(params["key"]))
    try:
        key, certificate = os.path.join(scratch, "key"), os.path.join(scratch, "crt")
        openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-sha256",
            "-nodes",
            "-days",
            str(params["days"]),
            "-subj",
            subject(params["names"][0]),
            "-addext",
            "subjectAltName=" + ",".join(alternative(name) for name in params["names"]),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "keyUsage=critical,digitalSignature",
            "-addext",
            "extendedKeyUsage=serverAuth",
            "-keyout",
            key,
            "-out",
            certificate,
        )
        os.chmod(key, 0o600)
        os.chmod(certificate, 0o644)
        os.replace(key, params["key"])
        os.replace(certificate, params["certificate"])
    finally:
        shutil.rmtree(scratch)


def main():
    module = AnsibleModule(
        argument_spec={
            "certificate": {"type": "path", "required": True},
            "key": {"type": "path", "required": True, "no_log": False},
            "names": {"type": "list", "elements": "str", "required": True},
            "days": {"type": "int", "default": 825},
            "renew_days": {"type": "int", "default": 30},
            "replace": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        reason = unfit(module.params)
        if reason and not module.check_mode:
            make(module.params)
        loose = [path for path, mode in ((module.params["certificate"], 0o644), (module.params["key"], 0o600))
                 if os.path.exists(path) and settle_rights(path, mode, module.check_mode)]  # fmt: skip
        renewed = renew_at(module.params)
    except OpensslFailed as error:
        if module.check_mode:
            module.exit_json(changed=True, reason="there is none", renew_at=0)
        fix = "check nginx_proxy_server_name and nginx_proxy_tls_self_signed_days"
        module.fail_json(msg=f"no certificate could be made: {error}. Fix: {fix}.", fix=fix)
    module.exit_json(changed=bool(reason or loose), reason=reason, renew_at=renewed)


if __name__ == "__main__":
    main()
