#!/usr/bin/python
"""Pulls the images of a Deepgram release and pins them to their digests."""

from __future__ import annotations

DOCUMENTATION = """
module: deepgram_images
short_description: Pulls the images of a Deepgram release and pins them by digest
description:
  - The first pull of a release records its digests; from then on the server runs those, even if the tag moves.
  - An image that is there is not asked for again, so a second run needs no registry.
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
  record:
    description: JSON file that remembers the digests.
    type: path
    required: true
  auth_dir:
    description: Directory that holds config.json with the registry's user and password, if it needs one.
    type: path
    required: true
  timeout_s:
    description: Seconds that one pull may take.
    type: int
    default: 3600
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
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

import json
import os
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.deepgram_containers import last_words, run

ATTEMPTS = 3
# What the registry or the engine says, and what to do about it; the first that is found counts. True: try again.
CURES = (
    (r"x509|certificate", "add the registry's certificate authority to the server's trust store", False),
    (
        r"manifest unknown|not found|no such manifest",
        "check deepgram_release and deepgram_image_digests: the registry lacks it",
        False,
    ),
    (
        r"unauthorized|denied|authentication|incorrect username|forbidden|403|401",
        "check deepgram_registry_username and deepgram_registry_password",
        False,
    ),
    (r"no space left", "free space on the disk that holds the container images", False),
    (
        r"no such host|lookup|dial tcp|timeout|refused|reset|EOF",
        "check that this server reaches the registry",
        True,
    ),
    (r"Cannot connect to the Docker daemon", "start it: systemctl start docker", False),
    (r"is not installed", "run the playbook from its start: the container engine is missing", False),
)


class PullFailed(Exception):
    """A pull that did not work. `fix` says what to do, `passing` whether it may pass by itself."""

    def __init__(self, reference, said):
        super().__init__(f"the image {reference} could not be pulled: {last_words(said, 2)}")
        self.fix, self.passing = "run again; if it stays, pull it by hand on the server to see more", True
        for pattern, fix, passing in CURES:
            if re.search(pattern, said, re.IGNORECASE):
                self.fix, self.passing = fix, passing
                break


class Images:
    """The images in one container engine."""

    def __init__(self, engine, auth_dir, timeout):
        self.engine, self.timeout = engine, timeout
        has_auth = os.path.exists(os.path.join(auth_dir, "config.json"))
        if engine == "docker":
            self.pull_command = ["docker"] + (["--config", auth_dir] if has_auth else []) + ["pull", "--quiet"]
        else:
            authfile = ["--authfile", os.path.join(auth_dir, "config.json")] if has_auth else []
            self.pull_command = ["podman", "pull", "--quiet", *authfile]

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
        for attempt in range(1, ATTEMPTS + 1):
            rc, out, err = run([*self.pull_command, reference], timeout=self.timeout, check=False)
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


def write_record(path, record):
    new = path + ".new"
    with open(new, "w") as file:
        json.dump(record, file, indent=2, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(new, 0o644)
    os.replace(new, path)


def settle(images, repository, release, wanted, pulled, check_mode):
    """The digest to run: `wanted` if given, else what the release's tag leads to. None only in check mode."""
    tag = f"{repository}:{release}"
    reference = f"{repository}@{wanted}" if wanted else tag
    if wanted and images.digest(repository, reference):
        return wanted
    pulled.append(reference)
    if check_mode:
        return wanted
    # A tag is always asked for: what lies here under it may be older than the release.
    images.pull(reference)
    digest = images.digest(repository, reference)
    if not digest:
        raise PullFailed(reference, "the registry gave no digest for it")
    return digest


def work(params, check_mode):
    """The module's result; raises PullFailed."""
    images = Images(params["engine"], params["auth_dir"], params["timeout_s"])
    old = read_record(params["record"])
    pins = dict(old.get("pins") or {})
    result, pulled, containers = {}, [], {}
    for component, name in params["images"].items():
        repository = f"{params['registry']}/{name}"
        tag = f"{repository}:{params['release']}"
        own = params["digests"].get(component)
        digest = settle(images, repository, params["release"], own or pins.get(tag), pulled, check_mode)
        if digest and not own:
            pins[tag] = digest
        reference = f"{repository}@{digest}" if digest else tag
        result[component] = {"repository": repository, "digest": digest, "reference": reference}
        containers[f"deepgram-{component}"] = {
            "repository": repository,
            "release": params["release"],
            "digest": digest,
        }
    record = {"release": params["release"], "containers": containers, "pins": pins}
    if not check_mode and record != old:
        write_record(params["record"], record)
    return {"changed": bool(pulled) or record != old, "images": result, "pulled": pulled}


def main():
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "choices": ["docker", "podman"], "required": True},
            "registry": {"type": "str", "required": True},
            "release": {"type": "str", "required": True},
            "images": {"type": "dict", "required": True},
            "digests": {"type": "dict", "default": {}},
            "record": {"type": "path", "required": True},
            "auth_dir": {"type": "path", "required": True},
            "timeout_s": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    try:
        result = work(module.params, module.check_mode)
    except PullFailed as failure:
        module.fail_json(msg=f"{failure}. Fix: {failure.fix}.", fix=failure.fix)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
