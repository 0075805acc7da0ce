#!/usr/bin/python
"""Pulls the images of a Deepgram release and pins them to their digests."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_images
short_description: Pulls the images of a Deepgram release and pins them by digest
description:
  - The first pull of a release records its digests; from then on the server runs those, even if the tag moves.
  - An image that is there is not asked for again, so a second run needs no registry.
  - An image in O(archive) is taken from there, by its digest, and no registry is asked for it.
  - Keeps the registry's credentials in a file for pulls, readable by root alone, and removes it when there are none.
options:
  engine:
    description: Container engine that holds the images.
    type: str
    choices: [docker, podman]
    required: true
  registry:
    description: Registry and path that the image names follow, such as quay.io/deepgram.
    type: str
    required: true
  release:
    description: Tag of the release.
    type: str
    required: true
  images:
    description: The image name of each component, such as C(api) to C(self-hosted-api).
    type: dict
    required: true
  digests:
    description: Digest (sha256:...) by component that the user wants instead of the release's own.
    type: dict
    default: {}
  pins:
    description: Digest by REPOSITORY:RELEASE that other servers got for it. Comes after O(digests), before what O(record) has.
    type: dict
    default: {}
  record:
    description: JSON file that remembers the digests.
    type: path
    required: true
  auth_dir:
    description: Directory for config.json with the registry's user and password.
    type: path
    required: true
  username:
    description: User of the registry; empty means that it asks for none.
    type: str
    default: ""
  password:
    description: The user's password.
    type: str
    default: ""
  archive:
    description: Archive of images that C(dgctl images load) brought to this server, or none.
    type: path
    default: /var/lib/deepgram/images/archive.tar
  ahead:
    description: Only begin, in the background, to pull what is missing, as soon as the engine answers. A later call without
      this waits for it, and pins.
    type: bool
    default: false
  only_pull:
    description: Pull what is missing and pin nothing, so that the server stays as it was recorded.
    type: bool
    default: false
  timeout_s:
    description: Seconds that one pull may take.
    type: int
    default: 3600
extends_documentation_fragment:
  - check_mode.no_diff
"""
EXAMPLES = """
- name: Pull the images
  deepgram_images:
    engine: docker
    registry: quay.io/deepgram
    release: release-260812
    images: {api: self-hosted-api, engine: self-hosted-engine}
    record: /etc/deepgram/images.json
    auth_dir: /etc/deepgram/registry
"""
RETURN = """
images:
  description: By component the repository, digest and reference, which is repository@digest once that is known.
  returned: success
  type: dict
pins:
  description: Digest by REPOSITORY:RELEASE of what runs here as a release, without those of O(digests); not in check mode.
  returned: success
  type: dict
moved:
  description: With O(only_pull) the tags that lead to another image than the pinned one, each with name, pinned, now and gone.
  returned: success
  type: list
  elements: dict
driver_version:
  description: Version of the NVIDIA driver that is loaded, for containers to be recreated with another one.
  returned: success
  type: str
pulled:
  description: References that were pulled, or in check mode would be.
  returned: success
  type: list
  elements: str
fix:
  description: What to do about the failure.
  returned: failure
  type: str
"""

import base64
import json
import os
import re
import shlex
import time
from collections import namedtuple

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.containers import archive as archives
from ansible.module_utils.containers import loopback
from ansible.module_utils.containers import registry as registries
from ansible.module_utils.deepgram.containers import last_words, run
from ansible.module_utils.host.parallel import in_parallel
from ansible.module_utils.host.whole_file import is_so, settle_rights, write
from ansible.module_utils.nvidia.host import loaded_version

ATTEMPTS = 3
LOOK_S = 10  # for one request about a tag
AHEAD = "deepgram-images-ahead.service"
# What the registry or the engine says, and what to do about it; the first that is found counts. True: try again.
FIXES = (
    (r"x509|certificate", "add the registry's certificate authority to the server's trust store", False),
    (
        r"manifest unknown|not found|no such manifest",
        "check deepgram_release, deepgram_image_digests and images.lock beside the inventory: the registry lacks it",
        False,
    ),
    (
        r"unauthorized|denied|authentication|incorrect username|forbidden|\b40[13]\b",
        "check deepgram_registry_username and deepgram_registry_password",
        False,
    ),
    (r"no space left", "free space on the disk that holds the container images", False),
    (
        r"no such host|lookup|dial tcp|timeout|refused|reset|EOF",
        "check that this server reaches the registry, or bring the images: dgctl images save, dgctl images load",
        True,
    ),
    (r"Cannot connect to the Docker daemon", "start it: systemctl start docker", False),
    (rf"port {loopback.PORT} cannot", f"end what listens there: ss -ltnp sport = :{loopback.PORT}", False),
    (r"is not installed", "run the playbook from its start: the container engine is missing", False),
)


class PullFailed(Exception):
    """A pull that did not work. `fix` says what to do, `passing` whether it may pass by itself."""

    def __init__(self, reference, reported):
        super().__init__(f"the image {reference} could not be pulled: {last_words(reported, 2)}")
        self.fix, self.passing = "run again; if it stays, pull it by hand on the server to see more", True
        for pattern, fix, passing in FIXES:
            if re.search(pattern, reported, re.IGNORECASE):
                self.fix, self.passing = fix, passing
                break


class Images:
    """The images in one container engine, and those in the archive that it may take them from."""

    def __init__(self, params):
        self.engine, self.timeout, auth_dir = params["engine"], params["timeout_s"], params["auth_dir"]
        self.archive = archives.there(params["archive"])
        has_auth = os.path.exists(os.path.join(auth_dir, "config.json"))
        if self.engine == "docker":
            self.pull_command = ["docker"] + (["--config", auth_dir] if has_auth else []) + ["pull", "--quiet"]
        else:
            authfile = ["--authfile", os.path.join(auth_dir, "config.json")] if has_auth else []
            self.pull_command = ["podman", "pull", "--quiet", *authfile]

    def offered(self, name):
        """The digest that the archive has for REPOSITORY:RELEASE, or None."""
        return self.archive.images.get(name) if self.archive else None

    def digest(self, repository, reference):
        """Digest of a local image within a repository, or None when the image is not here."""
        rc, out, _ = run([self.engine, "image", "inspect", reference], check=False)
        if rc != 0:
            return None
        found = json.loads(out)[0].get("RepoDigests") or []
        digests = [entry.partition("@")[2] for entry in found if entry.partition("@")[0] == repository]
        # A reference by digest is right as it is: an image may be known by several.
        own = reference.partition("@")[2]
        return own if own in digests else (digests or [None])[0]

    def pull(self, reference):
        """Pulls, and tries again what may pass by itself."""
        own = loopback.pull(self.engine, reference) if loopback.is_local(reference) else None
        for attempt in range(1, ATTEMPTS + 1):
            rc, out, err = run(own or [*self.pull_command, reference], timeout=self.timeout, check=False)
            if rc == 0:
                return
            failure = PullFailed(reference, err or out)
            if not failure.passing or attempt == ATTEMPTS:
                raise failure
            time.sleep(5 * attempt)


def read_record(path):
    """The record as it is, or an empty one."""
    try:
        with open(path) as file:
            found = json.load(file)
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def credentials(params):
    """Text of the file that Docker and Podman read an account from; empty without one."""
    if not params["username"]:
        return ""
    pair = base64.b64encode("{username}:{password}".format(**params).encode()).decode()
    registry = params["registry"].split("/")[0]
    return json.dumps({"auths": {registry: {"auth": pair}}}, indent=4) + "\n"


def keep_credentials(params, check_mode):
    """Has the credentials in their file, or no file; True when it was not so."""
    path, text = os.path.join(params["auth_dir"], "config.json"), credentials(params)
    if is_so(path, text, 0o600) if text else not os.path.lexists(path):
        return False
    if not check_mode and text:
        write(path, text, 0o600)
    elif not check_mode:
        os.unlink(path)
    return True


def make_directory(path, mode, check_mode):
    """A directory of root's with this mode; True when it was not so."""
    if os.path.isdir(path) and os.stat(path).st_mode & 0o7777 == mode:
        return False
    if not check_mode:
        os.makedirs(path, mode=0o755, exist_ok=True)
        os.chmod(path, mode)
    return True


# Where an image is or comes from: its repository, its digest (None until a tag was pulled), and the reference to pull, or None.
Choice = namedtuple("Choice", "repository digest due")


def choose(images, repository, release, desired):
    """The Choice for an image; `desired` is a digest, or None where what the release's tag leads to counts."""
    offered = images.offered(f"{repository}:{release}")
    desired = desired or offered
    for place in (repository, loopback.local(repository)) if desired else ():
        if images.digest(place, f"{place}@{desired}"):
            return Choice(place, desired, None)
    if desired and desired == offered:
        place = loopback.local(repository)
        return Choice(place, desired, f"{place}@{desired}")
    # A tag is always asked for: what lies here under it may be older than the release.
    return Choice(repository, desired, f"{repository}@{desired}" if desired else f"{repository}:{release}")


def choices(images, params, pins):
    """The Choice of each component."""
    found = {}
    for component, repository in repositories(params).items():
        desired = params["digests"].get(component) or pins.get(f"{repository}:{params['release']}")
        found[component] = choose(images, repository, params["release"], desired)
    return found


def pull_all(images, references):
    """Pulls at the same time, from the registry or the archive. Raises the first failure once all have ended."""
    if not any(map(loopback.is_local, references)):
        return pull_each(images, references)
    try:
        with loopback.served(images.archive):
            return pull_each(images, references)
    except OSError as error:
        raise PullFailed(references[0], f"port {loopback.PORT} cannot be used: {error}") from error


def pull_each(images, references):
    """Pulls at the same time. Raises the first failure once all have ended."""

    def attempt(reference):
        try:
            images.pull(reference)
        except PullFailed as failure:
            return failure
        return None

    calls = [lambda reference=reference: attempt(reference) for reference in references]
    limit = ATTEMPTS * images.timeout + 60
    ended = in_parallel(calls, limit, lambda index: PullFailed(references[index], "timeout"))
    for failure in ended:
        if failure:
            raise failure


def pull_in_background(images, references):
    """Has systemd pull them, once the engine answers. Whether that works shows when somebody waits for the images."""
    wait = f"until {images.engine} version >/dev/null 2>&1; do sleep 0.5; done"
    pulls = " & ".join(shlex.join([*images.pull_command, reference]) for reference in references)
    unit = ["--quiet", "--collect", f"--unit={AHEAD}", f"--property=RuntimeMaxSec={images.timeout}"]
    run(["systemd-run", *unit, "sh", "-c", f"{wait}; {pulls} & wait"], check=False)


def digest_of(images, repository, reference):
    """The digest that a pull led to."""
    digest = images.digest(repository, reference)
    if not digest:
        raise PullFailed(reference, "the registry gave no digest for it")
    return digest


def repositories(params):
    """The repository of each component's image."""
    return {component: f"{params['registry']}/{name}" for component, name in params["images"].items()}


def settle(images, params, pins, check_mode):
    """(Choice by component, with a digest but in check mode; references that were pulled, or would be)."""
    found = choices(images, params, pins)
    pulls = [each.due for each in found.values() if each.due]
    if not check_mode:
        pull_all(images, pulls)
        for component, each in found.items():
            if each.due:
                found[component] = each._replace(digest=digest_of(images, each.repository, each.due))
    return found, pulls


def record_of(params, found, pins):
    """What this server runs, and the digest that each release was first pulled with."""
    release, containers, pins = params["release"], {}, dict(pins)
    for component, repository in repositories(params).items():
        place, digest, _ = found[component]
        containers[f"deepgram-{component}"] = {"repository": place, "release": release, "digest": digest}
        if digest and not params["digests"].get(component):
            pins[f"{repository}:{release}"] = digest
    return {"release": release, "containers": containers, "pins": pins}


def known_pins(params, record):
    """Digests by REPOSITORY:RELEASE: what the record has, and before that what other servers got of this release."""
    own = {f"{repository}:{params['release']}" for repository in repositories(params).values()}
    return {**(record.get("pins") or {}), **{name: params["pins"][name] for name in own if params["pins"].get(name)}}


def prepare(params, check_mode):
    """Directories and credentials; True when they were not so."""
    changed = make_directory(os.path.dirname(params["record"]), 0o755, check_mode)
    changed |= make_directory(params["auth_dir"], 0o700, check_mode)
    return changed | keep_credentials(params, check_mode)


def begin(params, check_mode):
    """The module's result where pulling only begins."""
    if check_mode:
        return {"changed": False, "pulled": []}
    changed = prepare(params, check_mode)
    images = Images(params)
    found = choices(images, params, known_pins(params, read_record(params["record"])))
    # What the archive has waits for nothing from afar.
    missing = [each.due for each in found.values() if each.due and not loopback.is_local(each.due)]
    if missing:
        pull_in_background(images, missing)
    return {"changed": changed, "pulled": []}


def moved(params, found, pins):
    """Tags of the Choices from the registry that lead to another image than the pinned one by now."""
    tags = {
        f"{each.repository}:{params['release']}"
        for component, each in found.items()
        if not params["digests"].get(component)
    }
    account = (params["username"], params["password"], LOOK_S)
    calls = [lambda tag=tag: registries.moved(tag, pins[tag], *account) for tag in sorted(tags & pins.keys())]
    return [row for rows in in_parallel(calls, 4 * LOOK_S, lambda index: []) for row in rows]


def only_pull(params, check_mode):
    """The module's result where the images are for later; raises PullFailed."""
    changed = prepare(params, check_mode)
    images = Images(params)
    pins = known_pins(params, read_record(params["record"]))
    found = choices(images, params, pins)
    missing = [
        each.due
        for each in found.values()
        if each.due and ("@" in each.due or not images.digest(each.repository, each.due))
    ]
    if not check_mode:
        pull_all(images, missing)
    return {"changed": changed or bool(missing), "pulled": missing, "moved": moved(params, found, pins)}


def work(params, check_mode):
    """The module's result; raises PullFailed."""
    changed = prepare(params, check_mode)
    old = read_record(params["record"])
    pins = known_pins(params, old)
    images = Images(params)
    found, pulled = settle(images, params, pins, check_mode)
    record = record_of(params, found, pins)
    if not check_mode and record != old:
        write(params["record"], json.dumps(record, indent=2, sort_keys=True) + "\n", 0o644)
    if os.path.exists(params["record"]):
        changed |= settle_rights(params["record"], 0o644, check_mode)
    result = {}
    for component, (repository, digest, _) in found.items():
        reference = f"{repository}@{digest}" if digest else f"{repository}:{params['release']}"
        result[component] = {"repository": repository, "digest": digest, "reference": reference}
    changed |= bool(pulled) or record != old
    tags = {component: f"{repository}:{params['release']}" for component, repository in repositories(params).items()}
    reported = {
        tag: found[one].digest for one, tag in tags.items() if found[one].digest and not params["digests"].get(one)
    }
    return {
        "changed": changed,
        "images": result,
        "pulled": pulled,
        "pins": {} if check_mode else reported,
        "driver_version": loaded_version(),
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "choices": ["docker", "podman"], "required": True},
            "registry": {"type": "str", "required": True},
            "release": {"type": "str", "required": True},
            "images": {"type": "dict", "required": True},
            "digests": {"type": "dict", "default": {}},
            "pins": {"type": "dict", "default": {}},
            "record": {"type": "path", "required": True},
            "auth_dir": {"type": "path", "required": True},
            "username": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "archive": {"type": "path", "default": archives.PLACE},
            "ahead": {"type": "bool", "default": False},
            "only_pull": {"type": "bool", "default": False},
            "timeout_s": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    try:
        way = begin if module.params["ahead"] else only_pull if module.params["only_pull"] else work
        result = way(module.params, module.check_mode)
    except PullFailed as failure:
        module.fail_json(msg=f"{failure}. Fix: {failure.fix}.", fix=failure.fix)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
