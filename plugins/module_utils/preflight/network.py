"""Preflight probes of the network: names, TCP, TLS, registry, model links. All run at the same time.

Model links may be signed: they are shown as file and host, never with their query string.
"""

import json
import os
import socket
import ssl
import time
import urllib.parse

from ansible.module_utils.containers import archive, loopback, registry
from ansible.module_utils.deepgram.components import ALONE, folder
from ansible.module_utils.host.https import advice, ask, reason
from ansible.module_utils.host.outcome import finding
from ansible.module_utils.host.parallel import in_parallel


def endpoint(url):
    """(scheme, host, port) of a URL."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def reach(label, url, timeout):
    """A finding: does the name resolve, does the port answer, is the certificate good?"""
    scheme, host, port = endpoint(url)
    error = ""
    try:
        with socket.create_connection((host, port), timeout) as connection:
            if scheme == "https":
                with ssl.create_default_context().wrap_socket(connection, server_hostname=host):
                    pass
    except (OSError, ValueError) as problem:
        error = reason(problem)
    where = f"{host}:{port}"
    return finding(
        f"{label} {host}",
        not error,
        f"{where}: {error}" if error else f"{where} answers",
        "{} answers over {}".format(where, "TLS" if scheme == "https" else "TCP"),
        advice(error, where),
    )


def file_name(url):
    return os.path.basename(urllib.parse.urlsplit(url).path)


def model(url, models_dir, timeout):
    """([finding], bytes still to download) of one model link; asks for one byte and reads none."""
    name, (_scheme, host, _port) = file_name(url), endpoint(url)
    answer = ask(url, {"Range": "bytes=0-0"}, timeout=timeout)
    if answer.status not in (200, 206):
        why = answer.error or f"HTTP {answer.status}"
        fix = advice(answer.error, host) if answer.error else MODEL_FIX.get(answer.status, MODEL_FIX[None])
        return [finding(f"model {name}", False, f"{host}: {why}", f"{host} has the file", fix)], 0
    size = total(answer)
    there = os.path.join(models_dir, name)
    have = os.path.exists(there) and size is not None and os.path.getsize(there) == size
    seen = "{}, {}".format(host, "size unknown" if size is None else "%.1f MB" % (size / 1e6))
    return [finding(f"model {name}", True, seen, f"{host} has the file")], 0 if have else size or 0


MODEL_FIX = {
    403: (
        "The link is refused, most often because a signed link has run out: ask Deepgram for fresh "
        "links (deepgram_models_links)."
    ),
    404: ("The file is not there: correct this entry of deepgram_models_links, or ask Deepgram for the present link."),
    None: ("Open the link by hand; if the server has a fault, try again later, else correct deepgram_models_links."),
}


def total(answer):
    """Bytes of the whole file; from Content-Length where the server ignores ranges; None when unknown."""
    size = (
        answer.headers.get("Content-Range", "").rpartition("/")[2]
        if answer.status == 206
        else answer.headers.get("Content-Length", "")
    )
    return int(size) if size and size.isdigit() else None


def probes(servers, images, account, model_links, models_dir, timeout, pins, moved):
    """(findings, bytes of models still to come).

    servers: [(label, URL)]; images: full names; account: (user, password) at the registry; model_links: URLs;
    pins: {REPOSITORY:RELEASE: digest}; moved: a list that gets what registry.check() has for it.
    """
    calls = [
        (f"{label} {endpoint(url)[1]}", lambda url=url, label=label: ([reach(label, url, timeout)], 0))
        for label, url in servers
    ]
    calls += [
        ("image " + image, lambda image=image: (registry.check(image, *account, timeout, pins.get(image), moved), 0))
        for image in images
    ]
    calls += [("model " + file_name(url), lambda url=url: model(url, models_dir, timeout)) for url in model_links]

    def late(index):
        fix = "Look at this host's name servers and its way to the network, or raise preflight_timeout_s."
        return [finding(calls[index][0], False, "no answer in time", "an answer", fix)], 0

    results = in_parallel([twice(call) for _name, call in calls], 4 * timeout, late)
    return once([item for found, _size in results for item in found]), sum(size for _found, size in results)


def twice(call, pause=1):
    """The call, made again when it fails: one lost packet should not stop fifty hosts."""

    def attempt():
        first = call()
        if all(item["verdict"] != "fail" for item in first[0]):
            return first
        time.sleep(pause)
        return call()

    return attempt


def once(findings):
    """Without repetition: both images log in at the same registry."""
    retained = []
    for item in findings:
        if item not in retained:
            retained.append(item)
    return retained


def links(raw):
    """URLs of the model links, which are strings or dicts."""
    return [link["url"] if isinstance(link, dict) else link for link in raw]


# What servers run: a release that came from an archive is there, also when the archive of another one took its place.
RECORDS = tuple(f"{folder(component)}/images.json" for component in ("engine", *ALONE))


def brought(registry_of):
    """{image: digest} of those that came, or are to come, from what `dgctl images load` brought."""
    held = archive.there(registry_of.get("archive") or archive.PLACE)
    runs, found = [one for path in RECORDS for one in _containers(path)], {}
    for image in registry_of["images"]:
        repository, release = "{}/{}".format(registry_of["address"], image), registry_of["release"]
        for one in runs:
            if (one.get("repository"), one.get("release")) == (loopback.local(repository), release):
                found[image] = one.get("digest")
        if held and f"{repository}:{release}" in held.images:
            found[image] = held.images[f"{repository}:{release}"]
    return found


def _containers(path):
    """What a record says of each container; nothing where there is none."""
    try:
        with open(path) as stream:
            return list(json.load(stream)["containers"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def from_archive(registry_of):
    """Names of the images that the registry is not asked for."""
    given = registry_of["digests"]
    return [
        image for image, digest in brought(registry_of).items() if given.get(image.rsplit("-", 1)[-1], digest) == digest
    ]


def images(registry_of, but=()):
    """Full names of the images to ask for; none where neither release nor digest says which."""
    names = []
    for image in registry_of["images"]:
        if image in but:
            continue
        digest = registry_of["digests"].get(image.rsplit("-", 1)[-1])
        reference = "@" + digest if digest else ":" + registry_of["release"] if registry_of["release"] else ""
        names += ["{}/{}{}".format(registry_of["address"], image, reference)] if reference else []
    return names


def of_host(network, registry_of, repositories, models_dir):
    """(findings of all probes, bytes of models still to come, moved tags); by the parameters of module preflight_probe."""
    known = from_archive(registry_of)
    desired = images(registry_of, known)
    servers = [(label, url) for label, urls in {**network["servers"], **repositories}.items() for url in urls]
    if not desired and registry_of["images"] and not known:
        servers.append(("registry", "https://" + registry_of["address"]))
    account = (registry_of["username"], registry_of["password"])
    models, timeout, pins, moved = links(network["model_links"]), network["timeout_s"], registry_of["pins"], []
    found, size = probes(servers, desired, account, models, models_dir, timeout, pins, moved)
    release = registry_of["release"]
    here = [
        finding(f"image {image}", True, f"{release}: from an archive", f"{release} in an archive or the registry")
        for image in known
    ]
    return here + found, size, moved
