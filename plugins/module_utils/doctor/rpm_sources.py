"""The doctor on where the driver's packages come from on a host of rpm: two makers, two repositories, what dnf would take."""

import re

from ansible.module_utils.doctor.check import healthy, listed, unhealthy, unknown
from ansible.module_utils.doctor.rpm_repos import place, repositories_of
from ansible.module_utils.nvidia.driver_leftovers import DRIVER
from ansible.module_utils.packages.versions import upstream

# From dnf's cache: nothing is fetched. Locks and excludes are kept to: it is what dnf would take, the newest of each name.
OFFERS = (
    *("dnf", "-q", "-C", "--setopt=exit_on_lock=1", "repoquery", "--available", "--latest-limit=1"),
    *("--qf", "%{name} %{epoch}:%{version}-%{release} %{repoid}", "*nvidia*", "cuda-drivers*"),
)
# Packages that bring the kernel module, by who makes them so; of two makes on one host there are two drivers.
MAKES = {
    "NVIDIA's open module": re.compile(r"kmod-nvidia-open-dkms|kmod-nvidia-open-\d.*"),
    "NVIDIA's proprietary module": re.compile(r"kmod-nvidia-latest-dkms|kmod-nvidia-latest-\d.*"),
    "RPM Fusion's": re.compile(r"akmod-nvidia(-.*)?|kmod-nvidia-(\d+xx-)?\d+\..*"),
    "ELRepo's": re.compile(r"kmod-nvidia|kmod-nvidia-\d+xx"),
    "negativo17's": re.compile(r"dkms-nvidia"),
}
NVIDIAS = "NVIDIA's"
EXCLUDE = "excludepkgs=*nvidia* cuda-drivers*"
THEN = "then dgctl provision --full; or let the role do it: nvidia_driver_remove_other_sources: true, dgctl provision"


def two_sources(host):
    packages, repositories = host.packages(), repositories_of(host)
    installed = {name: version for name, version in packages.installed().items() if DRIVER.match(name)}
    makes = by_make(packages.installed())
    if len(makes) > 1:
        odd = sorted(name for make, names in makes.items() if not make.startswith(NVIDIAS) for name in names)
        seen = listed(f"{make} ({', '.join(names)})" for make, names in sorted(makes.items()))
        return unhealthy(f"kernel modules of two drivers: {seen}", fix=remove(odd) if odd else "")
    origins = {name: one for name, one in packages.repositories().items() if name in installed}
    places = [place(repositories, one) for one in origins.values()]
    if not places:
        return unknown("no package of the driver is installed from a repository that dnf knows of")
    usual = max(places, key=places.count)
    return mixed(repositories, installed, origins, usual) or would_come(host, repositories, origins, usual)


def by_make(names):
    """{who makes it: names} of packages that bring the kernel module."""
    found = {}
    for name in sorted(names):
        for make in [make for make, pattern in MAKES.items() if pattern.fullmatch(name)][:1]:
            found.setdefault(make, []).append(name)
    return found


def mixed(repositories, installed, origins, usual):
    """Unhealthy for packages that are from another repository than most, and of another version; else None."""
    versions = [upstream(installed[name]) for name, one in origins.items() if place(repositories, one) == usual]
    version = max(versions, key=versions.count)
    odd = {name: one for name, one in origins.items() if place(repositories, one) != usual}
    odd = {name: one for name, one in odd.items() if upstream(installed[name]) != version}
    if not odd:
        return None
    seen = f"{listed(f'{name} from {one}' for name, one in sorted(odd.items()))}; the others from {usual}"
    return unhealthy(seen, fix=remove(sorted(odd), keep_from(repositories, sorted(set(odd.values())))))


def would_come(host, repositories, origins, usual):
    """The result on what dnf would take, or could be told to."""
    reported = host.reported("dnf_offers")
    if not reported or reported.status != 0 or usual not in [place(repositories, one) for one in repositories]:
        return healthy(usual)
    rows = [line.split() for line in reported.text.splitlines() if line.count(" ") == 2]
    offers = [(name, version, one) for name, version, one in rows if place(repositories, one) != usual]
    known = host.packages().known()
    other = [row for row in offers if row[0] in origins and not known[row[0]]["held"] and newer(row[1], known[row[0]])]
    if other:
        seen = listed(f"dnf would take {name} {version} from {one}" for name, version, one in sorted(other))
        cause = "another repository offers the driver, and neither a lock nor an exclude keeps dnf from it"
        return unhealthy(
            seen, cause, f"on the server: {keep_from(repositories, sorted({row[2] for row in other}))}; {THEN}"
        )
    module = [(name, one) for name, _, one in offers if name not in origins and by_make([name])]
    if module:
        seen = f"{usual}; {listed(f'{one} offers {name} too' for name, one in sorted(module))}"
        return unknown(seen, f"on the server: {keep_from(repositories, sorted({one for _, one in module}))}")
    return healthy(usual)


def newer(offered, package):
    return order(offered) > order(package["version"])


def order(version):
    """A version for comparison: epoch first, then every number in it."""
    epoch, colon, rest = version.rpartition(":")
    return [int(epoch) if colon and epoch.isdigit() else 0, *map(int, re.findall(r"\d+", rest))]


def remove(names, more=""):
    return f"on the server: dnf remove {' '.join(names)}{', ' + more if more else ''}; {THEN}"


def keep_from(repositories, names):
    """How dnf is kept from a driver in these repositories."""
    there = [f"[{name}] in {repositories[name]['file']}" for name in names if name in repositories]
    return f"{EXCLUDE} under {listed(there)}" if there else f"{EXCLUDE} under {listed(names)}"
