"""Login at a container registry, as `docker login` and `docker pull` do it (Docker Registry HTTP API V2)."""

import base64
import hashlib
import json
import re
import urllib.parse

from ansible.module_utils.host.https import advice, ask
from ansible.module_utils.host.outcome import finding

MANIFESTS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
MANIFEST_LIMIT = 4 << 20  # bytes, which registries have to take (OCI distribution specification: pushing manifests)
TOKEN_LIMIT = 1024 * 1024  # bytes; a token is a few kilobytes


class Registry:
    """One registry and one account; host "quay.io" or "registry.example:5000"."""

    def __init__(self, host, user, password, timeout):
        self.host, self.user, self.password, self.timeout = host, user, password, timeout

    def basic(self):
        """The account as HTTP Basic authentication; no header at all without an account."""
        if not self.user:
            return {}
        pair = f"{self.user}:{self.password}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def login(self, repository):
        """(headers that authorise a pull, error, fix); error is "" when the registry accepts the account."""
        url = f"https://{self.host}/v2/"
        answer = ask(url, timeout=self.timeout)
        if answer.error:
            return {}, answer.error, advice(answer.error, self.host)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status == 200:
            return {}, "", ""
        if answer.status != 401:
            return (
                {},
                f"HTTP {answer.status} from {url}",
                "Correct deepgram_registry: this is no container registry.",
            )
        if challenge.lower().startswith("bearer"):
            return self.token(challenge, repository)
        return self.accepted(ask(url, self.basic(), timeout=self.timeout), self.basic())

    def token(self, challenge, repository):
        """The Bearer flow: trade the account for a token that may pull from this repository."""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = fields.get("realm", "")
        if not realm.startswith("https://"):
            return (
                {},
                "it sends logins to %s, which is not https" % (realm or "nowhere"),
                "Use a registry with TLS.",
            )
        query = {"service": fields.get("service", ""), "scope": f"repository:{repository}:pull"}
        answer = ask(
            realm + "?" + urllib.parse.urlencode(query),
            self.basic(),
            timeout=self.timeout,
            read_limit=TOKEN_LIMIT,
        )
        headers, error, fix = self.accepted(answer, {})
        if error:
            return headers, error, fix
        try:
            document = json.loads(answer.body)
            token = document.get("token") or document["access_token"]
        except (ValueError, KeyError, AttributeError):
            return {}, "{} gave no token".format(realm.split("/")[2]), "Correct deepgram_registry."
        return {"Authorization": "Bearer " + token}, "", ""

    def accepted(self, answer, headers):
        """What the answer to a login says."""
        if answer.error:
            return {}, answer.error, advice(answer.error, self.host)
        if answer.status == 200:
            return headers, "", ""
        if answer.status in (401, 403):
            fix = (
                "Correct deepgram_registry_username and deepgram_registry_password (the robot account "
                "that Deepgram gave you)."
            )
            return {}, "login as {!r} refused (HTTP {})".format(self.user or "nobody", answer.status), fix
        return (
            {},
            f"HTTP {answer.status} at login",
            "Try again; if it stays, look at the registry's status page.",
        )

    def has(self, repository, reference, headers):
        """HTTP status of the manifest (200: it can be pulled), or the reason that none came."""
        url = f"https://{self.host}/v2/{repository}/manifests/{reference}"
        answer = ask(url, dict(headers, Accept=MANIFESTS), method="HEAD", timeout=self.timeout)
        return answer.error or answer.status

    def manifest(self, repository, reference, headers):
        """The manifest's bytes; none where none came."""
        url = f"https://{self.host}/v2/{repository}/manifests/{reference}"
        answer = ask(url, dict(headers, Accept=MANIFESTS), timeout=self.timeout, read_limit=MANIFEST_LIMIT + 1)
        return answer.body if answer.status == 200 and len(answer.body) <= MANIFEST_LIMIT else b""

    def moved(self, name, pinned, headers):
        """[{name, pinned, now, gone}] where REPOSITORY:RELEASE leads to another image than the pinned one; else [].

        [] too where nobody says. `gone`: the registry has the pinned one no longer, so that nobody can pull it.
        """
        _host, repository, release = split(name)
        manifest = self.manifest(repository, release, headers)
        known = digests(manifest)
        if not manifest or pinned in known:
            return []
        return [{"name": name, "pinned": pinned, "now": known[0], "gone": self.has(repository, pinned, headers) == 404}]


def digests(manifest):
    """The digest of a manifest, and after it those that an index leads to: Podman may know an image by either."""
    try:
        entries = [str(entry["digest"]) for entry in json.loads(manifest).get("manifests") or []]
    except (ValueError, KeyError, TypeError, AttributeError):
        entries = []
    return ["sha256:" + hashlib.sha256(manifest).hexdigest(), *entries]


def moved(name, pinned, user, password, timeout):
    """Registry.moved() of REPOSITORY:RELEASE, with a login of its own; [] too where that fails."""
    host, repository, _release = split(name)
    registry = Registry(host, user, password, timeout)
    headers, error, _fix = registry.login(repository)
    return [] if error else registry.moved(name, pinned, headers)


def split(image):
    """("quay.io", "deepgram/self-hosted-api", "release-1") of host/repository:tag or @digest."""
    host, _, rest = image.partition("/")
    repository, at, reference = rest.partition("@")
    if not at:
        repository, _, reference = rest.rpartition(":")
    return host, repository, reference


def check(image, user, password, timeout, pinned="", moved=None):
    """Findings: the login, then whether this image is there for this account. `moved` is extended by Registry.moved()."""
    host, repository, reference = split(image)
    registry = Registry(host, user, password, timeout)
    headers, error, fix = registry.login(repository)
    login = finding(
        "registry login",
        not error,
        f"{host}: {error}" if error else "{} accepts {}".format(host, user or "everyone"),
        f"{host} accepts the account",
        fix,
    )
    if error:
        return [login]
    status = registry.has(repository, reference, headers)
    if pinned and status == 200:
        moved.extend(registry.moved(image, pinned, headers))
    there = finding(
        "image {}".format(repository.rsplit("/", 1)[-1]),
        status == 200,
        "{}: {}".format(
            reference, "found" if status == 200 else f"HTTP {status}" if isinstance(status, int) else status
        ),
        f"{reference} in {host}/{repository}",
        "Correct deepgram_release (or deepgram_image_digests): the registry has no such image for this account.",
    )
    return [login, there]
