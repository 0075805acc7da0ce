#!/usr/bin/python
"""Gathers what a reviewer asks of a server: what listens, who may read which secret, which certificates there are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_audit
short_description: Says what listens on a server, who may read its secrets, and how old its keys and certificates are
description:
  - Changes nothing, and reads no secret, only who may. What cannot be read is in C(problems).
options:
  secrets:
    description: Files and directories with secrets; those that are not there are left out.
    type: list
    elements: path
    default: []
  certificates:
    description: PEM files whose first certificate is described.
    type: list
    elements: path
    default: []
  images:
    description: JSON files that name the pinned images.
    type: list
    elements: path
    default: []
  models:
    description: JSON files that remember the SHA-256 of model files.
    type: list
    elements: path
    default: []
  firewall:
    description: The program that says whether the firewall's table is in force; not there where there is no firewall.
    type: path
extends_documentation_fragment:
  - containers.usual
  - check_mode.no_diff
"""
EXAMPLES = r"""
- name: See what listens and who may read what
  host_audit:
    secrets: [/etc/deepgram/deepgram.env]
"""
RETURN = r"""
status:
  description: >-
    listens, a list of protocol, address, port and program; published, a list of container, address, port and inside;
    secrets, a list of path, mode, owner, group, age_days and others (whether anybody but the owner may read it);
    certificates, a list of path, subject, issuer, self_signed, not_after and days_left; images, by container the reference;
    models, by file the SHA-256 recorded at its download;
    firewall, whether its table is in force, or null without one; problems, a list of sentences.
  returned: success
  type: dict
"""

import calendar
import grp
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

DAY_S = 86400
PUBLISHED = re.compile(
    r"(?:(?P<address>[0-9.]+|\[[0-9a-f:]*\]|):)?(?P<port>\d+(?:-\d+)?)->(?P<inside>\d+(?:-\d+)?/\w+)"
)


def reported(words, problems, timeout=30):
    """What a command prints; "" and a sentence where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        problems.append(f"{words[0]}: {error}")
        return ""
    if done.returncode:
        problems.append(f"{' '.join(words[:3])}: {' '.join(done.stderr.split())[:200]}")
        return ""
    return done.stdout


def listeners(text):
    """Rows of `ss -Hltunp`: Netid State Recv-Q Send-Q Local:Port Peer:Port Process (ss(8))."""
    found = []
    for line in text.splitlines():
        words = line.split(None, 6)
        if len(words) < 6 or ":" not in words[4]:
            continue
        address, _, port = words[4].rpartition(":")
        programs = re.findall(r'\("([^"]*)"', words[6] if len(words) > 6 else "")
        program = programs[0] if programs else ""
        address = address.partition("%")[0].strip("[]")
        row = {
            "protocol": words[0],
            "address": address,
            "port": int(port) if port.isdigit() else port,
            "program": program,
        }
        if row not in found:
            found.append(row)
    return sorted(found, key=lambda row: (str(row["protocol"]), str(row["port"]).zfill(5), row["address"]))


def published(text):
    """Rows of `docker ps --format '{{.Names}} {{.Ports}}'` and Podman's: what a container's port is published as."""
    found = []
    for line in text.splitlines():
        container, _, ports = line.partition(" ")
        for match in PUBLISHED.finditer(ports):
            address = (match["address"] or "0.0.0.0").strip("[]") or "::"
            row = {"container": container, "address": address, "port": match["port"], "inside": match["inside"]}
            if row not in found:
                found.append(row)
    return found


def name_of(look_up, number):
    try:
        return look_up(number)[0]
    except KeyError:
        return str(number)


def secret(path):
    """Who may read a path, and how old it is; None where there is nothing."""
    try:
        seen = os.stat(path)
    except OSError:
        return None
    mode = stat.S_IMODE(seen.st_mode)
    return {
        "path": path,
        "mode": f"{mode:04o}",
        "owner": name_of(pwd.getpwuid, seen.st_uid),
        "group": name_of(grp.getgrgid, seen.st_gid),
        "age_days": max(0, int((time.time() - seen.st_mtime) / DAY_S)),
        "others": bool(mode & 0o077),
    }


def certificate(path, problems):
    """What openssl says of a PEM file's first certificate; None where there is none."""
    if not os.path.exists(path):
        return None
    words = ["openssl", "x509", "-in", path, "-noout", "-subject", "-issuer", "-enddate"]
    fields = dict(line.partition("=")[::2] for line in reported(words, problems).splitlines())
    end = fields.get("notAfter", "").strip()
    try:
        days = int((calendar.timegm(time.strptime(end, "%b %d %H:%M:%S %Y GMT")) - time.time()) / DAY_S)
    except ValueError:
        days = None
    subject, issuer = (fields.get(name, "").strip() for name in ("subject", "issuer"))
    return {
        "path": path,
        "subject": subject,
        "issuer": issuer,
        "self_signed": bool(subject) and subject == issuer,
        "not_after": end,
        "days_left": days,
    }


def images(paths, problems):
    """Container -> reference, as the roles pinned them."""
    found = {}
    for path in paths:
        try:
            with open(path, encoding="utf-8") as stream:
                for name, image in json.load(stream).get("containers", {}).items():
                    found[name] = f"{image['repository']}@{image['digest']}"
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}: {error}")
    return found


def models(paths, problems):
    """Model file -> the SHA-256 that was recorded when it was downloaded; no file is read for it."""
    found = {}
    for path in paths:
        try:
            with open(path, encoding="utf-8") as stream:
                found.update({name: str(entry["sha256"]) for name, entry in json.load(stream).items()})
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}: {error}")
    return found


def in_force(program):
    """Whether the firewall's table is in the kernel; None without a firewall."""
    if not program or not os.path.exists(program):
        return None
    return subprocess.run([program, "check"], capture_output=True, timeout=60).returncode == 0


def gather(params):
    problems = []
    has_engine = shutil.which(params["engine"])
    ports = reported([params["engine"], "ps", "--format", "{{.Names}} {{.Ports}}"], problems) if has_engine else ""
    return {
        "listens": listeners(reported(["ss", "-Hltunp"], problems)),
        "published": published(ports),
        "secrets": [row for row in map(secret, params["secrets"]) if row],
        "certificates": [row for row in (certificate(path, problems) for path in params["certificates"]) if row],
        "images": images(params["images"], problems),
        "models": models(params["models"], problems),
        "firewall": in_force(params["firewall"]),
        "problems": problems,
    }


def main():
    paths = {"type": "list", "elements": "path", "default": []}
    module = AnsibleModule(
        argument_spec={
            "engine": {"choices": ["docker", "podman"], "default": "docker"},
            "secrets": {**paths, "no_log": False},
            "certificates": paths,
            "images": paths,
            "models": paths,
            "firewall": {"type": "path"},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, status=gather(module.params))


if __name__ == "__main__":
    main()
