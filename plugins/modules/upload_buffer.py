#!/usr/bin/python
"""Has a file system of a fixed size for what NGINX receives before a server gets it, or takes it away."""

from __future__ import annotations

DOCUMENTATION = r"""
module: upload_buffer
short_description: Has a file system of a fixed size for uploads, or takes it away
description:
  - With V(present) a file of that size holds a file system, all of its room taken on the disk beforehand, and the unit mounts
    it, now and at boot. A file of another size is replaced; what NGINX has open in the one of before goes on.
  - Beneath the mount lies a file where NGINX would make its folder. So where nothing is mounted NGINX runs all the same, and
    refuses what it would have to write there, instead of filling the file system below.
  - With V(absent) unit, file and folder are gone.
options:
  state:
    description: Whether there is one.
    type: str
    choices: [present, absent]
    required: true
  image:
    description: The file that holds it.
    type: path
    required: true
  place:
    description: Where it is mounted.
    type: path
    required: true
  unit:
    description: >-
      The file of the unit that mounts it. Where it is newer than NGINX's workers, NGINX is reloaded, and makes its folder there.
    type: path
    required: true
  size_gb:
    description: For V(present), its size in GB (10^9 bytes).
    type: int
    default: 0
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = r"""
- name: Give uploads a file system of their own
  upload_buffer:
    state: present
    image: /var/lib/deepgram/uploads.img
    place: /var/lib/deepgram/uploads
    unit: /etc/systemd/system/var-lib-deepgram-uploads.mount
    size_gb: 16
"""
RETURN = r"""
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.loop_mount import backing, is_sized
from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.systemd import properties, restart, systemctl
from ansible.module_utils.host.units import is_active, is_enabled
from ansible.module_utils.host.whole_file import sync

GB = 1000 * 1000 * 1000
FOLDER = "body"  # the role's client_body_temp_path
# mke2fs would give the room back that was taken (discard). NGINX writes no file below 1 MB, so more inodes are of no use.
MKFS = ("mkfs.ext4", "-q", "-F", "-m", "0", "-i", str(1 << 20), "-E", "nodiscard", "-L", "dg-uploads")
WAY_OUT = (
    "or set nginx_proxy_upload_buffer_gb lower (0: uploads lie in NGINX's own folder, without a cap), then run again"
)


def is_mounted(params):
    return backing(params["place"]) == params["image"]


def is_right(params, size):
    seen = properties(os.path.basename(params["unit"]), "ActiveState", "UnitFileState", "NeedDaemonReload")
    unit = is_active(seen) and is_enabled(seen) and seen.get("NeedDaemonReload") != "yes"
    return unit and is_sized(params["image"], size) and is_mounted(params)


def present(module):
    """Has it mounted, in its size; True when that was needed."""
    params, size = module.params, module.params["size_gb"] * GB
    due = not is_right(params, size)
    if not due or module.check_mode:
        return due
    if not is_sized(params["image"], size):
        os.utime(params["unit"])  # first: whatever ends this run, NGINX is to make its folder in the new one
        create(module, size)
    block(params["place"])
    unit = os.path.basename(params["unit"])
    damaged = f"where the file is damaged, rm {params['image']} (nothing in it is of use later)"
    restart(
        module,
        unit,
        f"see `journalctl -u {unit}` on the server: it needs loop devices (modprobe loop); {damaged}; {WAY_OUT}",
    )
    if not is_mounted(params):
        seen = backing(params["place"]) or "nothing"
        fail(module, f"{params['place']}: {seen} is mounted instead of {params['image']}",
             f"see `findmnt {params['place']}` on the server for who mounts there, and end it", seen)  # fmt: skip
    return True


def create(module, size):
    """Makes the file under another name first: one that is torn by a power cut is never mounted."""
    image = module.params["image"]
    new = image + ".new"
    os.makedirs(os.path.dirname(image), mode=0o755, exist_ok=True)
    try:
        with open(new, "wb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            os.posix_fallocate(stream.fileno(), 0, size)
            made = run([*MKFS, new], timeout=600)
            os.fsync(stream.fileno())
        if made[0] != 0:
            fail(module, f"{' '.join(MKFS)} {new}: {last_line(made[2]) or last_line(made[1])}",
                 f"see that the package e2fsprogs is whole on the server, {WAY_OUT}")  # fmt: skip
        os.replace(new, image)
        sync(os.path.dirname(image))
        run(["restorecon", image])  # where SELinux is: the rule for it may be older than the file
    except OSError as error:
        free = shutil.disk_usage(os.path.dirname(image)).free / GB
        fail(module, f"{image}: {size / GB:.0f} GB cannot be taken: {error.strerror}; {free:.1f} GB are free there",
             f"free space there, {WAY_OUT}", error.strerror)  # fmt: skip
    finally:
        if os.path.exists(new):
            os.unlink(new)


def block(place):
    """Lays a file where NGINX would make its folder, while nothing is mounted."""
    path = os.path.join(place, FOLDER)
    if os.path.ismount(place) or os.path.isfile(path):
        return
    os.makedirs(place, mode=0o755, exist_ok=True)
    if os.path.isdir(path):
        shutil.rmtree(path)
    with open(path, "x"):
        pass


def absent(module):
    """Takes it away; True when there was something. Uploads that NGINX has open there go on until they end."""
    params = module.params
    there = [path for path in (params["unit"], params["image"], params["place"]) if os.path.lexists(path)]
    if not there or module.check_mode:
        return bool(there)
    unit = os.path.basename(params["unit"])
    fix = f"see `systemctl status {unit}` and `findmnt {params['place']}` on the server"
    if params["unit"] in there:
        systemctl(module, unit, fix, "disable", "--now", unit)
        os.unlink(params["unit"])
        systemctl(module, unit, fix, "daemon-reload")
    if os.path.ismount(params["place"]):
        fail(
            module,
            f"{params['place']} is still mounted",
            f"on the server: umount --lazy {params['place']}; then run again",
        )
    shutil.rmtree(params["place"], ignore_errors=True)
    for path in (params["image"], params["image"] + ".new"):
        if os.path.exists(path):
            os.unlink(path)
    return True


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["present", "absent"], "required": True},
            "image": {"type": "path", "required": True},
            "place": {"type": "path", "required": True},
            "unit": {"type": "path", "required": True},
            "size_gb": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    changed = present(module) if module.params["state"] == "present" else absent(module)
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
