"""Images of kept states: a tag of their own keeps a prune from taking them, and a release's tag from moving away."""

from __future__ import annotations

import os

from ansible.module_utils.containers import archive, loopback
from ansible.module_utils.deepgram.containers import CommandFailed, run

AUTH = "/etc/deepgram/registry"
# In the repository of the image itself: without any tag there Docker would forget the digest, too.
TAG = "kept-"


def reference(image):
    return f"{image['repository']}@{image['digest']}"


def _tag(image):
    return f"{image['repository']}:{TAG}{image['digest'].partition(':')[2][:12]}"


def here(engine, name):
    return run([engine, "image", "inspect", name], check=False)[0] == 0


def missing(engine, images):
    """References of the images that are not on this server."""
    return [reference(image) for image in images.values() if not here(engine, reference(image))]


def hold(engine, images):
    """Tags images; raises CommandFailed for one that is not here."""
    for image in images.values():
        if not here(engine, _tag(image)):
            run([engine, "tag", reference(image), _tag(image)])


def release(engine, states):
    """Takes the tags away that no kept state needs."""
    desired = {_tag(image) for state in states for image in state["images"].values()}
    out = run([engine, "images", "--format", "{{.Repository}}:{{.Tag}}"], check=False)[1]
    for name in out.split():
        if name.rpartition(":")[2].startswith(TAG) and name not in desired:
            run([engine, "rmi", name], check=False)  # one in use by a container stays


def fetch(engine, name, timeout, given=""):
    """Pulls an image that a prune took after all, or takes it from the archive that it came from; raises CommandFailed.

    given: where the archive is, if somebody says so; it is looked for at its usual place, too.
    """
    if loopback.is_local(name):
        return _take(engine, name, timeout, archive.places(given))
    config = os.path.join(AUTH, "config.json")
    options = {"docker": ["--config", AUTH], "podman": []}[engine] if os.path.exists(config) else []
    after = ["--authfile", config] if engine == "podman" and os.path.exists(config) else []
    return run([engine, *options, "pull", "--quiet", *after, name], timeout=timeout)


def _take(engine, name, timeout, places):
    digest = name.partition("@")[2]
    held = next((found for found in map(archive.there, places) if found and digest in found.manifests), None)
    if not held:
        raise CommandFailed(f"no archive of images has it ({', '.join(places)})")
    try:
        with loopback.served(held):
            return run(loopback.pull(engine, name), timeout=timeout)
    except OSError as error:
        raise CommandFailed(f"port {loopback.PORT} cannot be used: {error}") from error


__all__ = ["CommandFailed", "fetch", "here", "hold", "missing", "reference", "release"]
