"""The doctor on whom dnf believes: is each repository's key there, and is it the one that signed the index?"""

from ansible.module_utils.doctor.check import healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.rpm_repos import ON, keys, ours, repositories_of
from ansible.module_utils.doctor.signatures import distrust
from ansible.module_utils.host import https

CACHE, INDEX = "/var/cache/dnf", "repodata/repomd.xml.asc"
FETCH_S, LIMIT = 3, 1 << 20  # seconds; bytes of a signature


def repositories(host):
    """Whose key is not there; whose signature is on the index, where dnf asks for that."""
    keyed = [(name, one, key) for name, one in repositories_of(host).items() for key in keys(one)]
    judged = [(name, *trust(host, name, one, key)) for name, one, key in keyed]
    bad = [f"{name}: {why}" for name, sure, why in judged if why and sure]
    if bad:
        return unhealthy(listed(bad))
    doubtful = [f"{name}: {why}" for name, _, why in judged if why]
    if doubtful:
        return unknown(listed(doubtful), "dnf makecache on the server says whether that still holds")
    return (
        healthy(f"{len(judged)} keys of repositories, each there")
        if judged
        else unknown("no repository has a key here")
    )


def trust(host, name, repository, key):
    """As distrust. What others' repositories lack proves nothing: rpm may have their key already, and its file be missing."""
    signed = repository.get("repo_gpgcheck", "0").lower() in ON and len(keys(repository)) == 1
    cached = [host.read(path) for path in host.glob(f"{CACHE}/{name}-*/{INDEX}")] if signed else []
    now = host.once("served " + name, lambda: served(repository)) if signed else ""
    sure, why = distrust(host, key, now, "\n".join(cached))
    return sure and ours(repository), why


def served(repository):
    """The signature that a repository of the roles' serves now; "" when it is not one of theirs, or does not answer."""
    url = repository.get("baseurl", "").split(" ")[0]
    if not ours(repository) or not url.startswith("http"):
        return ""
    answer = https.ask(f"{url.rstrip('/')}/{INDEX}", timeout=FETCH_S, read_limit=LIMIT)
    return answer.body.decode("utf-8", "replace") if answer.status == 200 else ""
