"""What dpkg and apt know of a host's packages: versions, holds, what is half done, what lacks something."""

import os
import re

FIELD = re.compile(r"^(Package|Status|Version|Architecture): (.*)$", re.MULTILINE)
STATUS = "/var/lib/dpkg/status"
UPDATES = "/var/lib/dpkg/updates"
HALF_DONE = ("half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending")
# Dependencies of what is installed, from dpkg's file alone: no lock is taken, no list read, no cache written.
CHECK = (
    *(
        "apt-get",
        "check",
        "-oDebug::NoLocking=1",
        "-oDir::Etc::SourceList=/dev/null",
        "-oDir::Etc::SourceParts=/dev/null",
    ),
    *("-oDir::State::Lists=/nonexistent/", "-oDir::Cache::pkgcache=", "-oDir::Cache::srcpkgcache="),
)
CONFIGURATION = ("apt-config", "dump")
LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock")


class Dpkg:
    """Packages of the Debian family; doctor_rpm.Rpm are those of the other one."""

    name, locks = "dpkg", LOCKS
    finish = "dpkg --configure -a && apt-get --fix-broken install"
    install = "apt-get install --allow-downgrades --allow-change-held-packages {}"
    exactly, hold, purge, headers = "{}={}", "apt-mark hold {}", "apt-get purge", "apt-get install linux-headers-{}"

    def __init__(self, host):
        self.host = host

    def known(self):
        """{name: {version, held, status}}; of two architectures the installed one counts."""
        return self.host.once("packages", self._read)

    def _read(self):
        found = {}
        for entry in self.host.read(STATUS).split("\n\n"):
            fields = dict(FIELD.findall(entry))
            want, _, status = (fields.get("Status", "") + "  ").split(" ")[:3]
            name = fields.get("Package", "")
            if name and status != "not-installed" and (name not in found or status == "installed"):
                found[name] = {"version": fields.get("Version", ""), "held": want == "hold", "status": status}
        return found

    def version(self, name):
        """The version of an installed package; "" for none."""
        package = self.known().get(name, {})
        return package.get("version", "") if package.get("status") not in ("config-files", None) else ""

    def installed(self):
        """{name: version} of all that is there, be it half."""
        return {name: self.version(name) for name in self.known() if self.version(name)}

    def half_done(self):
        """{name: status} of packages whose installation was not ended."""
        return {name: one["status"] for name, one in self.known().items() if one["status"] in HALF_DONE}

    def journal(self):
        """Whether dpkg is at work, or was killed at it."""
        folder = self.host.path(UPDATES)
        return os.path.isdir(folder) and bool(os.listdir(folder))

    def lacking(self):
        """Sentences on packages that miss what they depend on; None when that is not known."""
        reported = self.host.reported("apt_check")
        if reported is None or reported.status is None:
            return None
        lines = [" ".join(line.split()) for line in reported.text.splitlines()]
        return [line for line in lines if re.search(r" : (Depends|PreDepends|Conflicts|Breaks):", line)]

    def owner(self, path):
        """Whether a package brought the file."""
        for entry in self.host.glob("/var/lib/dpkg/info/*.list"):
            with open(self.host.path(entry), encoding="utf-8", errors="replace") as stream:
                if f"\n{path}\n" in f"\n{stream.read()}\n":
                    return True
        return False

    def settings(self):
        """[(name, value)] of apt's configuration."""
        reported = self.host.reported("apt_config")
        return re.findall(r'^(\S+) "(.*)";$', reported.text, re.MULTILINE) if reported else []

    def nightly(self):
        """(does something upgrade packages by itself, patterns of those that it must not touch)."""
        settings = self.settings()
        on = any(name == "APT::Periodic::Unattended-Upgrade" and value not in ("0", "") for name, value in settings)
        barred = [value for name, value in settings if name == "Unattended-Upgrade::Package-Blacklist::" and value]
        return on and bool(self.version("unattended-upgrades")), barred

    def origins(self):
        """{installed package: {addresses that offer its version}} of those that apt was asked for."""
        reported = self.host.reported("apt_policy")
        return read_policy(reported.text)[0] if reported and reported.status == 0 else {}

    def candidates(self):
        """{installed package: (candidate version, its addresses)} where apt would take another one."""
        reported = self.host.reported("apt_policy")
        return read_policy(reported.text)[1] if reported and reported.status == 0 else {}


def read_policy(text):
    """(origins, candidates) from `apt-cache policy NAME ...`."""
    origins, candidates = {}, {}
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        name = block.partition(":")[0]
        installed = re.search(r"^  Installed: (\S+)$", block, re.MULTILINE)
        candidate = re.search(r"^  Candidate: (\S+)$", block, re.MULTILINE)
        if not installed or installed.group(1) == "(none)":
            continue
        offers = read_offers(block)
        origins[name] = offers.get(installed.group(1), set())
        if candidate and candidate.group(1) != installed.group(1):
            candidates[name] = (candidate.group(1), offers.get(candidate.group(1), set()))
    return origins, candidates


def read_offers(block):
    """{version: {addresses}} of the version table of one package."""
    found, version = {}, ""
    for line in block.splitlines():
        head = re.match(r"^ (?:\*\*\*|   ) (\S+) -?\d+$", line)
        offer = re.match(r"^\s{6,}-?\d+ (\w+:\S+) ", line)
        if head:
            version = head.group(1)
            found[version] = set()
        elif offer and version:
            found[version].add(offer.group(1).rstrip("/"))
    return found
