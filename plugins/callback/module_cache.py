"""Callback `module_cache`: keeps modules, packed as they go to servers, from one run to the next.

Ansible packs each module again in each run, which costs a fifth of a second of CPU for each of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from pathlib import Path

import ansible
from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__

DOCUMENTATION = """
name: module_cache
type: aggregate
short_description: Keeps packed modules from one run to the next
description:
  - Puts a folder of the user's in the place of the one in which Ansible keeps packed modules during a run.
  - The folder is another one as soon as Ansible, Python, or any file of the project's modules is.
requirements:
  - enabling in configuration
"""
FOLDER = "packed-modules"  # in Ansible's own folder of the user, ~/.ansible unless ANSIBLE_HOME says otherwise
KEPT_S = 7 * 86400  # folders that no run has used for so long go; another run may still be using younger ones
CUT_OFF_S = 3600  # an empty file of this age is not being written


def fingerprint(folders):
    """Of everything that goes into a packed module: Ansible, and the files in the folders of modules."""
    digest = hashlib.sha256(repr((__version__, ansible.__file__, sys.version)).encode())
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(repr((str(path), hashlib.sha256(path.read_bytes()).hexdigest())).encode())
    return digest.hexdigest()[:32]


def private(folder):
    """Makes a folder that nobody else may write to: what lies in it is run as root on servers."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is open to others")
    return folder


def share(local_tmp, home, folders):
    """Puts the kept folder where Ansible will look for packed modules in this run."""
    cache = private(private(home) / fingerprint(folders))
    now = time.time()
    for path in cache.iterdir():
        status = path.stat()
        if path.suffix != ".lock" and status.st_size == 0 and status.st_mtime < now - CUT_OFF_S:
            path.unlink()  # cut off when the machine went down
    (Path(local_tmp) / "ansiballz_cache").symlink_to(cache)
    os.utime(cache)
    for path in home.iterdir():
        if path.stat().st_mtime < now - KEPT_S:
            shutil.rmtree(path, ignore_errors=True)


class CallbackModule(CallbackBase):
    """Ansible's entry point."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "module_cache"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook):
        """Before the first task; without the folder everything works as ever, only slower."""
        try:
            folders = [*constants.DEFAULT_MODULE_PATH, *constants.DEFAULT_MODULE_UTILS_PATH]
            share(constants.DEFAULT_LOCAL_TMP, Path(constants.ANSIBLE_HOME) / FOLDER, folders)
        except OSError as error:
            self._display.v(f"packed modules are not kept: {error}")
