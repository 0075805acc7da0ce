#!/usr/bin/python
"""Brings an archive of images to a server, from another server of the deployment."""

from __future__ import annotations

DOCUMENTATION = """
module: image_archive
short_description: Checks whether a server can take an archive of images, hands it to others, or fetches it from one
description:
  - The steps in which C(images_load.yml) brings the file of C(dgctl images save) to servers.
  - The archive goes from one server to the others over TLS, with a certificate and a token that are made for this once.
options:
  state:
    description: >-
      C(checked) asks whether it is here, and whether there is room for it and its images; C(passable), without root's rights,
      whether there is where an upload passes through; C(offered) makes the certificate; C(serving) hands it out until that is
      gone (C(ended)), or for O(limit_s); C(ready) waits for that; C(fetched) has it, from the server at O(address).
    type: str
    choices: [checked, passable, offered, serving, ready, fetched, ended]
    required: true
  path:
    description: Where the archive lies on the server.
    type: path
    required: true
  sha256:
    description: Its digest, as hex digits.
    type: str
    default: ""
  size:
    description: Its size in bytes.
    type: int
    default: 0
  architecture:
    description: The architecture of its images, such as C(amd64).
    type: str
    default: ""
  engine:
    description: The container engine that is to have the images.
    type: str
    choices: [docker, podman]
    default: docker
  images:
    description: The images that the engine is to have of it, each with C(repository), C(digest), and the C(bytes) that it takes.
    type: list
    elements: dict
    default: []
  store:
    description: Where an engine that does not answer will have its images; empty for its usual place.
    type: str
    default: ""
  address:
    description: The server that hands it out.
    type: str
    default: ""
  certificate:
    description: Its certificate, as C(offered) returned it.
    type: str
    default: ""
  token:
    description: What has to be known to fetch it.
    type: str
    default: ""
  port:
    description: The port on which it is handed out.
    type: int
    default: 9813
  limit_s:
    description: Seconds after which C(serving) ends by itself.
    type: int
    default: 21600
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = """
- name: Ask what the server has
  image_archive:
    state: checked
    path: /var/lib/deepgram/images/archive.tar
    sha256: "{{ images_sha256 }}"
    size: "{{ images_size }}"
    architecture: amd64
"""
RETURN = """
is_here:
  description: Whether the server has this very archive.
  returned: for checked
  type: bool
engine_runs:
  description: Whether the container engine answers, so that images can be loaded.
  returned: for checked
  type: bool
certificate:
  description: The certificate of the server that hands it out.
  returned: for offered
  type: str
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.containers import archive, handover, room
from ansible.module_utils.host.openssl import OpensslFailed
from ansible.module_utils.host.outcome import fail, run


class Refused(Exception):
    """What the server cannot do; `fix` says what to do."""

    def __init__(self, what, fix):
        super().__init__(what)
        self.fix = fix


def is_here(params):
    path = params["path"]
    same = os.path.isfile(path) and os.path.getsize(path) == params["size"]
    return same and archive.sha256_of_file(path) == params["sha256"]


def checked(params, check_mode):
    machine = os.uname().machine
    own = archive.ARCHITECTURES.get(machine, machine)
    if own != params["architecture"]:
        fix = f"save one for it: dgctl images save INVENTORY --to FILE --arch {own}"
        raise Refused(f"the archive's images are for {params['architecture']}, and this server is {own}", fix)
    here, engine = is_here(params), params["engine"]
    images = sum(image["bytes"] for image in room.missing(engine, params["images"]))
    elsewhere = "name another place: deepgram_image_archive"
    room.require(
        [
            ("the archive", 0 if here else params["size"], os.path.dirname(params["path"]), elsewhere),
            (f"{engine}'s images", images, room.store(engine, params["store"]), "put a larger disk there"),
        ]
    )
    return {"changed": False, "is_here": here, "engine_runs": run([engine, "version"])[0] == 0}


def passable(params, check_mode):
    """An upload lies in Ansible's own folder first; what is on one filesystem is moved from there, and takes no room twice."""
    place, end = params["upload"], os.path.dirname(params["path"])
    if room.filesystem(place) != room.filesystem(end):
        fix = "set ansible_remote_tmp to a folder on a larger filesystem"
        room.require([("the archive on its way", params["size"], place, fix)])
    return {"changed": False}


def keys(params):
    """The folder of the certificate and its key."""
    return params["path"] + ".handover"


def offered(params, check_mode):
    return {"changed": False, "certificate": "" if check_mode else handover.make_certificate(keys(params))}


def serving(params, check_mode):
    if not check_mode:
        try:
            handover.serve(params["path"], keys(params), params["token"], params["limit_s"], params["port"])
        except OSError as error:
            raise Refused(f"port {params['port']} cannot be used: {error}", "end what listens there") from error
    return {"changed": False}


def ready(params, check_mode):
    if not check_mode:
        handover.wait_for("127.0.0.1", params["certificate"], params["token"], 30, params["port"])
    return {"changed": False}


def fetched(params, check_mode):
    if is_here(params):
        return {"changed": False}
    if not check_mode:
        handover.fetch(
            params["address"], params["certificate"], params["token"], params["path"], params["sha256"], params["port"]
        )
    return {"changed": True}


def upload_folder(remote_tmp):
    """Where Ansible puts an upload: in the home of whoever logged in, also where a variable has this run as root by sudo."""
    user = os.environ.get("SUDO_USER", "")
    place = remote_tmp.replace("~", f"~{user}", 1) if remote_tmp.startswith("~/") else remote_tmp
    return os.path.abspath(os.path.expanduser(place))


def ended(params, check_mode):
    if not check_mode:
        shutil.rmtree(keys(params), ignore_errors=True)
    return {"changed": False}


STATES = {
    "checked": checked,
    "passable": passable,
    "offered": offered,
    "serving": serving,
    "ready": ready,
    "fetched": fetched,
    "ended": ended,
}


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "path": {"type": "path", "required": True},
            "sha256": {"type": "str", "default": ""},
            "size": {"type": "int", "default": 0},
            "architecture": {"type": "str", "default": ""},
            "engine": {"type": "str", "choices": ["docker", "podman"], "default": "docker"},
            "images": {"type": "list", "elements": "dict", "default": []},
            "store": {"type": "str", "default": ""},
            "address": {"type": "str", "default": ""},
            "certificate": {"type": "str", "default": ""},
            "token": {"type": "str", "default": "", "no_log": True},
            "port": {"type": "int", "default": handover.PORT},
            "limit_s": {"type": "int", "default": 6 * 3600},
        },
        supports_check_mode=True,
    )
    params = {**module.params, "upload": upload_folder(module._remote_tmp or "~/.ansible/tmp")}
    try:
        result = STATES[module.params["state"]](params, module.check_mode)
    except (Refused, room.NoRoom, handover.NotFetched) as error:
        fail(module, error, error.fix)
    except OpensslFailed as error:
        fail(module, f"no certificate could be made: {error}", "install openssl there, or add --each")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
