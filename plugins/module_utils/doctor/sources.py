"""The doctor on where packages come from: two sources of the driver at once, and repositories that nobody trusted signed."""

import platform
import re

from ansible.module_utils.doctor import rpm_sources as doctor_rpm_sources
from ansible.module_utils.doctor import rpm_trust as doctor_rpm_trust
from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.signatures import distrust
from ansible.module_utils.host import https

FILES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources")
LISTS = "/var/lib/apt/lists/"
ONE_LINE = re.compile(r"^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)")
# Packages that put the driver on a host; apt is asked where those that are installed come from.
OF_DRIVER = (
    *("nvidia-open", "cuda-drivers", "nvidia-driver", "nvidia-driver-cuda", "nvidia-smi", "libcuda1", "libnvidia-ml1"),
    *("nvidia-kernel-open-dkms", "nvidia-kernel-dkms", "nvidia-open-kernel-dkms", "nvidia-dkms-open", "nvidia-dkms"),
    *("nvidia-kernel-support", "nvidia-persistenced", "nvidia-alternative", "nvidia-driver-bin", "nvidia-driver-libs"),
    "nvidia-modprobe",
)
# The same in Ubuntu's way: with the branch in the name, and with -server in its own archive.
WITH_BRANCH = (
    *("nvidia-open-{}", "nvidia-driver-{}-open", "nvidia-utils-{}", "libnvidia-compute-{}", "nvidia-compute-utils-{}"),
    *("nvidia-headless-no-dkms-{}-server-open", "nvidia-utils-{}-server", "libnvidia-compute-{}-server"),
)
BRANCHES = ("550", "570", "575", "580", "590", "595", "610", "615", "620")
BY_BRANCH = tuple(name.format(branch) for branch in BRANCHES for name in WITH_BRANCH)
BESIDE = ("nvidia-modprobe", "nvidia-persistenced")  # a distribution makes these of sources of their own
POLICY = ("apt-cache", "policy", *OF_DRIVER, *BY_BRANCH)
# Packages that bring the kernel module, by source; two of them on one host are two drivers.
MODULES = re.compile(
    r"^(nvidia-kernel-open-dkms|nvidia-kernel-dkms|nvidia-open-kernel-dkms|nvidia-dkms(-.*)?|linux-modules-nvidia-.*"
    r"|nvidia-(tesla|legacy).*-kernel-dkms)$"
)
OURS = ("nvidia-driver.sources", "nvidia-container-toolkit.sources", "docker.sources")
ALLOW = "then dgctl provision --full; or let the role do it: nvidia_driver_remove_other_sources: true, dgctl provision"
FETCH_S = 3
LIMIT = 1 << 20  # bytes of an InRelease
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def entries(host):
    """[{file, uri, suite, key}] of apt's sources; key is the file of Signed-By, "" for none."""
    found = []
    for path in host.glob(*FILES):
        read = deb822 if path.endswith(".sources") else one_line
        found += [dict(entry, file=path) for entry in read(host.read(path))]
    for entry in found:
        entry["uri"] = (
            entry["uri"].replace("$(ARCH)", ARCHITECTURES.get(platform.machine(), platform.machine())).rstrip("/")
        )
    return found


def one_line(text):
    for line in text.splitlines():
        match = ONE_LINE.match(line.strip())
        if match:
            options = dict(option.partition("=")[::2] for option in (match.group(1) or "").split())
            yield {"uri": match.group(2), "suite": match.group(3), "key": options.get("signed-by", "")}


def deb822(text):
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            if not line[:1].isspace():
                fields[name.strip().lower()] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield {"uri": uri, "suite": suite, "key": fields.get("signed-by", "")}


def two_sources(host):
    packages = host.packages()
    if not packages:
        return unknown("no package manager that is known here")
    if packages.name == "rpm":
        return doctor_rpm_sources.two_sources(host)
    keys = {}
    for entry in entries(host):
        keys.setdefault((entry["uri"], entry["suite"]), {}).setdefault(entry["key"], entry["file"])
    for (uri, _), by_key in keys.items():
        if len(by_key) > 1:
            files = list(by_key.values())
            seen = f"{uri} stands in {listed(files)} with different keys"
            return unhealthy(seen, "apt refuses every package while two entries name one repository and different keys",
                             f"remove the one that is not the role's: rm {foreign(files)}")  # fmt: skip
    modules = [name for name in packages.installed() if MODULES.match(name)]
    kinds = {re.sub(r"-\d.*", "", name) for name in modules}
    if len(kinds) > 1:
        return unhealthy(f"kernel modules of {listed(sorted(modules))}")
    origins = {name: found for name, found in packages.origins().items() if found}
    places = [place for found in origins.values() for place in sorted(found)]
    usual = max(places, key=places.count) if places else ""
    versions = [release(packages, name) for name, found in origins.items() if usual in found]
    version = max(versions, key=versions.count) if versions else ""
    odd = {name: sorted(found)[0] for name, found in origins.items() if usual not in found}
    odd = {name: place for name, place in odd.items() if name not in BESIDE and release(packages, name) != version}
    if odd:
        seen = f"{listed(f'{name} from {place}' for name, place in sorted(odd.items()))}; the others from {usual}"
        return unhealthy(seen, fix=keep_one(host, odd))
    other = {name: offer for name, offer in packages.candidates().items() if strange(packages, name, offer, origins)}
    if other:
        seen = listed(
            f"apt would take {name} {version} from {sorted(found)[0]}" for name, (version, found) in other.items()
        )
        return unhealthy(seen, "another source offers the driver, and no pin keeps apt from it")
    return healthy(usual) if usual else unknown("no package of the driver is installed from a source")


def release(packages, name):
    """580.173.02 of a package's 1:580.173.02-1."""
    return packages.version(name).split(":", 1)[-1].rsplit("-", 1)[0]


def keep_one(host, odd):
    """The command that takes away what the fewer packages are from."""
    files = sorted({entry["file"] for entry in entries(host) if place(entry) in set(odd.values())})
    entry = f", rm {' '.join(files)}" if files and not any("/debian.sources" in path for path in files) else ""
    return f"on the server: apt-get purge {' '.join(sorted(odd))}{entry}; {ALLOW}"


def strange(packages, name, offer, origins):
    """Would apt take the package from another source than the one that it is from?"""
    return bool(offer[1]) and not packages.known()[name]["held"] and name in origins and not offer[1] & origins[name]


def foreign(files):
    """The file that none of the roles wrote."""
    return next((path for path in files if path.rpartition("/")[2] not in OURS), files[-1])


def repositories(host):
    """Whose signature: of the driver's and the toolkit's repository by what it serves now, of others by apt's list."""
    packages = host.packages()
    if not packages:
        return unknown("no package manager that is known here")
    if packages.name == "rpm":
        return doctor_rpm_trust.repositories(host)
    keyed = [entry for entry in entries(host) if entry["key"].startswith("/")]
    judged = [(entry, *trust(host, entry)) for entry in keyed]
    bad = [(entry, why) for entry, sure, why in judged if why and sure]
    if bad:
        ours = all(entry["file"].rpartition("/")[2] in OURS for entry, _ in bad)
        by_hand = "compare the key with the one that the repository's owner publishes; then put it in "
        fix = "dgctl provision" if ours else by_hand + listed(entry["key"] for entry, _ in bad)
        return unhealthy(listed(f"{entry['uri']}: {why}" for entry, why in bad), fix=fix)
    doubtful = [f"{entry['uri']}: {why}" for entry, _, why in judged if why]
    if doubtful:
        return unknown(
            f"apt's list of {listed(doubtful)}", "apt-get update on the server says whether that still holds"
        )
    known = sum(why is not None for _, _, why in judged)
    return healthy(f"{known} with a key of their own, each signed by it") if known else unknown("no lists are there")


def trust(host, entry):
    """As distrust, of one entry."""
    now = host.once("served " + entry["uri"], lambda: served(entry))
    return distrust(host, entry["key"], now, host.read(LISTS + list_name(entry)))


def served(entry):
    """The signed index that a repository of the roles' serves now; "" when it is not one of theirs, or does not answer."""
    if entry["file"].rpartition("/")[2] not in OURS or not entry["uri"].startswith("http"):
        return ""
    answer = https.ask(place(entry) + "/InRelease", timeout=FETCH_S, read_limit=LIMIT)
    return answer.body.decode("utf-8", "replace") if answer.status == 200 else ""


def place(entry):
    """Where a repository's index lies: a suite that ends in a slash is a folder, another one below dists."""
    suite = entry["suite"]
    return f"{entry['uri']}/{suite.strip('/')}".rstrip("/") if suite.endswith("/") else f"{entry['uri']}/dists/{suite}"


def list_name(entry):
    """The name under which apt keeps the index."""
    bare = place(entry).partition("://")[2].replace("_", "%5f")
    return (bare + "/InRelease").replace("/", "_")


CHECKS = (
    Check(
        "driver sources", two_sources,
        "apt's entries for one repository under two keys, kernel modules of two packages, and from where the driver's packages "
        "come or would come (apt-cache policy; dnf's history and what it would take past locks and excludes)",
        "one source of the driver",
        "the distribution's own driver and NVIDIA's are mixed: the next upgrade breaks one with the other",
        "keep one: on the server, apt-get purge or dnf remove the packages of the other source (apt-cache policy, dnf info name "
        f"it); remove its entry from /etc/apt/sources.list.d, or keep dnf from it ({doctor_rpm_sources.EXCLUDE}); " + ALLOW,
        stands_on=(),
    ),
    Check(
        "repositories", repositories,
        "who signed the index of each repository that has a key of its own, as apt or dnf keeps it, and of NVIDIA's as they "
        "serve it; with dnf where it asks for that, and whether the keys are there",
        "signed by the key that the entry names",
        "the key was replaced, or the repository is not the one that it says it is: apt and dnf take nothing from it",
        "dgctl provision",
        True, (), False,
        stands_on=("clock",),
    ),
)  # fmt: skip
