"""One apt transaction: what is missing, what apt would do about it, whether that is allowed, and doing it."""

import fnmatch
import glob
import os
import re
import time

from ansible.module_utils import dpkg, package_family
from ansible.module_utils.outcome import last_line, run
from ansible.module_utils.package_versions import Family

LISTS = "/var/lib/apt/lists"
STAMP = "/var/lib/apt/periodic/update-success-stamp"
SOURCES = "/etc/apt/sources.list.d"
STEP = re.compile(r"^(Inst|Remv) (\S+)", re.M)
# apt changed nothing, and says why not in words that a rehearsal makes better.
REFUSED = re.compile(
    r"remove is disabled|Unable to locate|no installation candidate|was not found|[Uu]nmet dependencies|held broken"
    r"|Failure running script"
)
# The repository has moved on since its lists were fetched.
STALE = re.compile(r"404  Not Found|unexpected size|Hash Sum mismatch")
INSTALL = [
    "apt-get",
    "-y",
    "--no-install-recommends",
    "--allow-change-held-packages",
    "--allow-downgrades",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "Acquire::Retries=3",
]
SHELL = "/bin/sh"
KEEP_OTHERS = ("-o", "APT::Get::List-Cleanup=0")
# What apt says, and what to do about it; the first that matches counts.
ADVICE = (
    (
        r"(Depends|depends on).*(glx-alternative-nvidia|update-glx|nvidia-support|nvidia-installer-cleanup)",
        "NVIDIA's packages for Debian need its contrib: add contrib to the Components (or the deb lines) of the host's "
        "own sources in /etc/apt, then run again.",
    ),
    (
        r"(Unable to locate package|no installation candidate|was not found).*(linux-modules-nvidia|-server)",
        "The archive's driver lies in restricted and multiverse: have both among the host's own sources in /etc/apt, and "
        "take a branch that Ubuntu has (apt-cache search linux-modules-nvidia).",
    ),
    (
        r"Conflicting values set for option Signed-By",
        (
            "An older entry names the same repository: remove it from /etc/apt/sources.list.d (grep -l "
            "nvidia /etc/apt/sources.list.d/*)."
        ),
    ),
    (
        r"(Unable to locate package|has no installation candidate|Version .* was not found)",
        (
            "Correct the package or its version, or the repository that should have it (apt-cache "
            "policy shows what there is)."
        ),
    ),
    (
        r"held broken packages|[Uu]nmet dependencies",
        "Another repository or a held package is in the way: apt-get -s install shows which; unhold or remove it.",
    ),
    (
        r"(Could not get lock|Unable to acquire|is another process using it)",
        "Another program is using apt: wait for it to end (ps aux | grep -E 'apt|dpkg'), then run again.",
    ),
    (
        r"(not signed|NO_PUBKEY|public key is not available|Missing key|invalid signature)",
        (
            "The repository is not signed by the key that was given for it: correct its _repository_url"
            " and its _repository_key variables."
        ),
    ),
    (
        STALE.pattern,
        "The repository's index does not fit its files, as while it is being updated: run again in some minutes.",
    ),
    (r"(No space left|You don't have enough free space)", "Free space in /var and /usr, then run again."),
    (
        r"(Failed to fetch|Unable to fetch|Could not resolve|Could not connect|Temporary failure)",
        "Look at this host's way to its package servers (apt-get update), then run again.",
    ),
    (
        r"Bad return status for module build|Error! .*[Dd][Kk][Mm][Ss]",
        (
            "The driver does not build for this kernel: see /var/lib/dkms/nvidia/*/build/make.log, "
            "choose a newer driver or another kernel."
        ),
    ),
)


def advice(text):
    """What to do about an error of apt."""
    return next(
        (fix for pattern, fix in ADVICE if re.search(pattern, text)),
        "Run again: what was begun is finished first. By hand on the host, apt says more.",
    )


def errors(rc, out, err):
    """The lines that apt marks as errors, on one line; else the last thing it said."""
    if rc < 0:
        return f"it was killed (signal {-rc})"
    lines = [line[3:].strip() for line in err.splitlines() if line.startswith("E: ")]
    return "; ".join(lines) or last_line(err) or last_line(out)


def offered(said):
    """The sources' packages that differ from one that apt could not find in their number alone: " They offer: ..."."""
    missing = re.search(r"Unable to locate package (\S*?)([\d.]+)$", said, re.MULTILINE)
    if not missing:
        return ""
    _, out, _ = run(["apt-cache", "pkgnames", missing[1]], timeout=60, env=dpkg.environment())
    names = [name for name in out.split() if re.fullmatch(re.escape(missing[1]) + r"[\d.]+", name)]
    return " The repositories offer: {}.".format(", ".join(sorted(names))) if names else ""


def guard(patterns):
    """Options of apt by which it gives up before dpkg begins, when a package that matches would be touched."""
    if not patterns:
        return []
    look = "while read -r name rest; do case $name in {}) exit 1;; esac; done".format("|".join(patterns))
    return ["-o", f"DPkg::Pre-Install-Pkgs::={SHELL} -c '{look}'", "-o", f"DPkg::Tools::Options::{SHELL}::Version=2"]


def satisfied(wish, versions):
    """Is "name", "name=version" or "name=prefix*" installed?"""
    name, _, version = wish.partition("=")
    have = versions.get(name)
    if have is None or not version:
        return have is not None
    return fnmatch.fnmatchcase(have, version) or fnmatch.fnmatchcase(have.split(":", 1)[-1], version)


class Transaction(Family):
    """params are those of the module apt_packages; give_up(what, fix) does not return."""

    def __init__(self, params, check_mode, give_up):
        self.params, self.check_mode, self.give_up = params, check_mode, give_up
        self.names = [wish.partition("=")[0] for wish in params["packages"]]
        self.known = dpkg.packages()
        self.released = []

    def finish_interrupted(self):
        """Completes a dpkg run that died; True if there was one."""
        if not dpkg.interrupted(self.known):
            return False
        if self.check_mode:
            return True
        self.wait()
        self.known = dpkg.packages()
        if dpkg.interrupted(self.known):
            error = dpkg.repair(self.params["lock_timeout_s"])
            if error:
                self.give_up(
                    f"An interrupted package installation cannot be finished: {error}",
                    "dpkg --configure -a and apt-get -f install on the host, until both end well.",
                )
            self.known = dpkg.packages()
        return True

    def wait(self):
        if not dpkg.wait_for_lock(self.params["lock_timeout_s"]):
            self.give_up(
                "Another program still holds dpkg's lock after {} s".format(self.params["lock_timeout_s"]),
                advice("Could not get lock"),
            )

    def missing(self, kind="packages"):
        """The wishes that are not satisfied."""
        versions = dpkg.installed(self.known)
        return [wish for wish in self.params[kind] if not satisfied(wish, versions)]

    def giving_way(self):
        """Installed packages to be replaced, as apt-get wants them: name-."""
        return [
            name + "-"
            for name in sorted(dpkg.installed(self.known))
            if name not in self.names and any(fnmatch.fnmatchcase(name, pattern) for pattern in self.params["replaces"])
        ]

    def install(self):
        """Installs what is missing; returns the steps, as "Inst name" or "Remv name"."""
        wishes = [*self.missing(), *self.strayed()]
        if not wishes:
            return []
        arguments = ["install", *wishes, *self.family_moves(wishes), *self.giving_way()]
        self.refresh_lists()
        if self.check_mode:
            return self.checked_steps(arguments, wishes)
        self.wait()
        self.release_others()
        before = dpkg.installed(self.known)
        if not self.install_with_others(arguments) and not self.install_unrehearsed(arguments):
            self.install_rehearsed(arguments, wishes)
        self.known = dpkg.packages()
        missing = [*self.missing(), *self.strayed()]
        if missing:
            self.give_up(
                "apt ended well, yet {} is not installed".format(", ".join(missing)),
                "apt-cache policy shows which version apt prefers.",
            )
        return steps_between(before, dpkg.installed(self.known))

    def install_with_others(self, arguments):
        """One transaction for what later calls will want, too; False when it does not work, whatever the reason."""
        along = self.missing("along")
        if not along or self.giving_way():
            return False
        return self.guarded([*arguments, *along])[0] == 0

    def install_unrehearsed(self, arguments):
        """Where nothing has to go apt itself keeps the rules; False when it refuses."""
        if self.giving_way():
            return False
        rc, out, err = self.guarded(arguments)
        if rc != 0 and STALE.search(err):
            self.update()
        elif rc != 0 and not REFUSED.search(err):
            self.failed(arguments, rc, out, err)
        return rc == 0

    def guarded(self, arguments):
        """apt's answer to a transaction that may remove nothing, and touch nothing that is out of bounds."""
        return self.apt(["--no-remove", *guard(self.params["must_not_touch"]), *arguments])

    def install_rehearsed(self, arguments, wishes):
        """The long way: what apt would do is looked at before it does it."""
        self.checked_steps(arguments, wishes)
        rc, out, err = self.apt(arguments)
        if rc != 0 and STALE.search(err):
            self.update()
            self.checked_steps(arguments, wishes)
            rc, out, err = self.apt(arguments)
        if rc != 0:
            self.failed(arguments, rc, out, err)

    def failed(self, arguments, rc, out, err):
        self.give_up("apt-get {}: {}".format(" ".join(arguments), errors(rc, out, err)), advice(out + err))

    def checked_steps(self, arguments, wishes):
        """What apt would do, once it is known to be allowed."""
        steps = self.rehearse(arguments)
        self.allow(steps, wishes)
        return steps

    def strayed(self):
        """Wishes for packages that were moved without the rest of their family, by hand or past a hold."""
        lead, versions = self.params["same_version_as"], dpkg.installed(self.known)
        wish = next((wish for wish in self.params["packages"] if wish.partition("=")[0] == lead), None)
        if wish is None or not satisfied(wish, versions):
            return []  # the family moves anyway
        return package_family.moves(
            lead, versions, lambda version: satisfied(wish, {lead: version}), package_family.offers
        )

    def release_others(self):
        """Releases holds that somebody else put on packages which may have to go or to move; they are put back at the end."""
        versions = dpkg.installed(self.known)
        family = self.family(versions)
        along = [wish.partition("=")[0] for wish in self.params["along"]]
        self.released = [
            name
            for name in sorted(versions)
            if self.known[name]["held"]
            and name not in [*family, *along]
            and any(fnmatch.fnmatchcase(name, pattern) for pattern in self.params["may_remove"])
        ]
        if self.released:
            self.mark("unhold", self.released)

    def mark(self, verb, names):
        rc, out, err = run(["apt-mark", verb, *names], env=dpkg.environment())
        if rc != 0:
            self.give_up(f"apt-mark {verb}: {errors(rc, out, err)}", advice(err))

    def family_moves(self, wishes):
        """The leading package's family moves with it: apt takes no dependency back to an older version."""
        lead, versions = self.params["same_version_as"], dpkg.installed(self.known)
        version = dict(wish.partition("=")[::2] for wish in wishes).get(lead)
        asked = [wish.partition("=")[0] for wish in wishes]
        relatives = [*self.family(versions), *package_family.strays(lead, versions)] if version else []
        return [f"{name}={version}" for name in relatives if name not in [*self.names, *asked]]

    def rehearse(self, arguments):
        """What apt would do; lists that do not offer what is wanted are fetched anew."""
        rc, out, err = run([*INSTALL, "-s", *arguments], timeout=120, env=dpkg.environment())
        if rc != 0 and not self.check_mode:
            self.update()
            rc, out, err = run([*INSTALL, "-s", *arguments], timeout=120, env=dpkg.environment())
        if rc != 0 and not self.check_mode and "fix-broken" in err + out:
            dpkg.repair(self.params["lock_timeout_s"])
            self.known = dpkg.packages()
            rc, out, err = run([*INSTALL, "-s", *arguments], timeout=120, env=dpkg.environment())
        if rc != 0 and self.check_mode:
            return ["Inst " + wish for wish in self.missing()]
        if rc != 0:
            self.give_up(
                "apt cannot install {}: {}".format(", ".join(self.missing()), errors(rc, out, err)),
                advice(err + out) + offered(err),
            )
        return ["{} {}".format(*step) for step in STEP.findall(out)]

    def allow(self, steps, wishes):
        """Gives up when the transaction would do what it must not."""
        for step in steps:
            what, name = step.split()[:2]
            touched = [pattern for pattern in self.params["must_not_touch"] if fnmatch.fnmatchcase(name, pattern)]
            if touched:
                self.give_up(
                    "Installing {} would also {} {}, which must stay as it is".format(
                        ", ".join(wishes), "remove" if what == "Remv" else "install or upgrade", name
                    ),
                    "Bring the kernel up to date first (apt-get dist-upgrade, reboot), then run again.",
                )
            may_go = self.params["may_remove"] + self.params["replaces"]
            if what == "Remv" and not any(fnmatch.fnmatchcase(name, pattern) for pattern in may_go):
                self.give_up(
                    "Installing {} would remove {}".format(", ".join(wishes), name),
                    (
                        f"Remove {name} yourself if you do not need it, or name the packages to use in "
                        f"the role's packages variable."
                    ),
                )

    def refresh_lists(self):
        """Fetches lists that are old; of young ones only those of repositories that were added since."""
        if lists_age() > self.params["lists_max_age_s"]:
            self.update()
            return
        for path in sources_newer_than_lists():
            alone = ("-o", f"Dir::Etc::sourcelist={path}", "-o", "Dir::Etc::sourceparts=-", *KEEP_OTHERS)
            self.update(*alone, fatal=False)  # one that fails and is needed shows when apt looks for the packages

    def update(self, *options, fatal=True):
        """Fetches the lists; a repository that fails is fatal only if it has what is wanted."""
        if self.check_mode:
            return
        end = time.monotonic() + self.params["lock_timeout_s"]
        rc, out, err = 1, "", "Could not get lock"
        locked = "Could not get lock|Unable to lock"
        while rc != 0 and re.search(locked, err) and time.monotonic() < end:
            rc, out, err = run(
                ["apt-get", "update", "-q", "-o", "Acquire::Retries=3", *options], timeout=600, env=dpkg.environment()
            )
            if re.search(locked, err):
                time.sleep(2)
        if rc != 0 and fatal:
            self.give_up(f"apt-get update: {errors(rc, out, err)}", advice(err))

    def apt(self, arguments):
        """(exit status, stdout, stderr) of the transaction."""
        lock = ["-o", "DPkg::Lock::Timeout={}".format(self.params["lock_timeout_s"])]
        return run(INSTALL + lock + arguments, timeout=3600, env=dpkg.environment())

    def hold(self):
        """(what was done, packages that belong to the hold)."""
        versions = dpkg.installed(self.known)
        back = [name for name in self.released if name in versions]
        if back:
            self.mark("hold", back)
        if self.params["hold"] is None:
            return [], []
        members = self.to_hold(versions)
        wanted = self.params["hold"]
        todo = [name for name in members if self.known[name]["held"] != wanted and name not in back]
        verb = "hold" if wanted else "unhold"
        if todo and not self.check_mode:
            self.mark(verb, todo)
        return [f"{verb.capitalize()} {name}" for name in todo], members if wanted else []

    def along(self):
        """{wish: version} of what later calls will want and find installed."""
        versions = dpkg.installed(self.known)
        wishes = (wish for wish in self.params["along"] if satisfied(wish, versions))
        return {wish: versions[wish.partition("=")[0]] for wish in wishes}

    def wanted_versions(self):
        versions = dpkg.installed(self.known)
        return {name: versions.get(name, "") for name in self.names}


def steps_between(before, after):
    """What happened to the packages, in apt's words."""
    installed = [f"Inst {name}" for name in sorted(after) if before.get(name) != after[name]]
    return installed + [f"Remv {name}" for name in sorted(before) if name not in after]


def sources_newer_than_lists(lists=LISTS, sources=SOURCES):
    """Files that name repositories and were written since lists were fetched."""
    paths = sorted(glob.glob(os.path.join(sources, "*.sources")) + glob.glob(os.path.join(sources, "*.list")))
    return [path for path in paths if os.path.getmtime(path) > fetched(lists)]


def lists_age(lists=LISTS):
    """Seconds since the lists were fetched; infinite when there are none."""
    return time.time() - fetched(lists) if glob.glob(os.path.join(lists, "*Packages*")) else float("inf")


def fetched(lists):
    """When lists were fetched last; their own times are their server's."""
    places = (lists, os.path.join(lists, "partial"), STAMP)
    return max((os.path.getmtime(path) for path in places if os.path.exists(path)), default=0)
