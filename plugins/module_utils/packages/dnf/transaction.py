"""One dnf transaction: what is missing, what dnf would do about it, whether that is allowed, and doing it."""

import os

from ansible.module_utils.host.whole_file import text_of, write
from ansible.module_utils.packages import family as packages_family
from ansible.module_utils.packages.dnf.command import LOCKED, Dnf, advice, enabled_stream, errors
from ansible.module_utils.packages.dnf.guard import matches
from ansible.module_utils.packages.rpm import database as rpm_database
from ansible.module_utils.packages.rpm import query as rpm_query
from ansible.module_utils.packages.versions import Family, pinned, satisfied, steps_between, upstream

VERSIONLOCK = "python3-dnf-plugin-versionlock"
STREAM = "@"  # before the name of a module with its stream


def spec(request):
    """The request as dnf writes it: name-version."""
    return request.replace("=", "-", 1)


class Transaction(Family):
    """params are those of the module dnf_packages; give_up(what, fix) does not return."""

    def __init__(self, params, check_mode, give_up):
        self.params, self.check_mode, self.give_up = params, check_mode, give_up
        self.requested = [request for request in params["packages"] if not request.startswith(STREAM)]
        self.streams = [request[1:] for request in params["packages"] + params["along"] if request.startswith(STREAM)]
        self.names = [request.partition("=")[0] for request in self.requested]
        self.dnf = Dnf(params["lock_timeout_s"], params["lists_max_age_s"])
        self.known, self.offered = rpm_database.packages(), None

    def finish_interrupted(self):
        """Completes a dnf run that died; True if there was one."""
        double, half = rpm_database.duplicates(self.known), rpm_query.half_done(self.known)
        if not double and not half:
            return False
        if self.check_mode:
            return True
        for names, words in ((double, ["remove", "--duplicates"]), (half, ["reinstall", *half])):
            if names:
                self.must(self.dnf.plain(*words), f"An interrupted dnf cannot be finished: dnf {' '.join(words)}")
        self.known = rpm_database.packages()
        return True

    def must(self, answer, what):
        """Gives up unless dnf ended well."""
        rc, out, err = answer[:3]
        if rc == LOCKED:
            waited = self.params["lock_timeout_s"]
            self.give_up(
                f"Another program still uses dnf after {waited} s: {errors(rc, out, err)}", advice("already locked")
            )
        if rc != 0:
            self.give_up(f"{what}: {errors(rc, out, err)}", advice(err + out))

    def missing(self, kind="packages"):
        """The requested packages that are not satisfied."""
        versions = rpm_database.installed(self.known)
        requested = self.requested if kind == "packages" else self.params[kind]
        return [
            request for request in requested if not request.startswith(STREAM) and not self.is_there(request, versions)
        ]

    def is_there(self, request, versions):
        name = request.partition("=")[0]
        return any(satisfied(request, {name: one}) for one in self.known.get(name, {"versions": []})["versions"])

    def enable_streams(self):
        """Enables module streams; returns the steps. Another stream that is enabled gives way."""
        steps = []
        for request in self.streams:
            module, stream = request.split(":", 1)
            now = enabled_stream(module)
            if now == stream:
                continue
            steps.append("Enable " + request)
            if self.check_mode:
                continue
            if now:
                self.must(self.dnf.plain("module", "reset", module), f"dnf module reset {module}")
            self.must(self.dnf.plain("module", "enable", request), f"dnf module enable {request}")
        return steps

    def install(self):
        """Installs what is missing; returns the steps, as "Inst name", "Remv name" or "Enable module:stream"."""
        enabled = self.enable_streams()
        if self.check_mode:
            requested = [*self.missing(), *self.strayed()]
            return enabled + (self.rehearsed(requested) if requested else [])
        before = rpm_database.installed(self.known)
        self.bring(self.missing(), self.missing("along"))
        self.bring(self.strayed())  # to the version that the lead has by now
        return enabled + steps_between(before, rpm_database.installed(self.known))

    def bring(self, requested, along=()):
        """Has the requested packages installed, if there are any; with them what later calls will request, where that works."""
        if not requested:
            return
        if not (along and self.tried([*requested, *along])[0] == 0):
            self.settle(requested)
        self.known = rpm_database.packages()
        versions = rpm_database.installed(self.known)
        missing = [request for request in requested if not self.is_there(request, versions)]
        if missing:
            self.give_up(
                "dnf ended well, yet {} is not installed".format(", ".join(missing)),
                "dnf list --showduplicates NAME shows which version dnf prefers.",
            )

    def strayed(self):
        """Requests for packages that left the lead's version. Those that are asked for exactly rpm itself keeps together."""
        lead = self.params["same_version_as"]
        versions = {name: upstream(version) for name, version in rpm_database.installed(self.known).items()}
        left = packages_family.companions(lead, versions, self.offers) if lead in versions else {}
        return [f"{name}={version}-*" for name, version in left.items()]

    def offers(self, name, version):
        """Whether a repository has this version, past every lock; dnf is asked once for all that could be meant."""
        if self.offered is None:
            names = [one for one in self.known if packages_family.COMPANION.match(one)]
            ask = ("-q", "--disableplugin=versionlock", "repoquery", "--available", "--qf", "%{name} %{version}")
            self.offered = set(self.dnf.plain(*ask, *names)[1].splitlines())
        return f"{name} {version}" in self.offered

    def tried(self, requested, **how):
        """dnf's answer to a transaction that does what is allowed only."""
        lead = self.params["same_version_as"]
        version = dict(request.partition("=")[::2] for request in self.requested).get(lead, "")
        limits = {key: self.params[key] for key in ("must_not_touch", "enable_repositories")}
        locked, mine = set(rpm_query.locks()), self.mine(requested)
        rules = {
            "lead": lead if version else None,
            "version": version.split(":", 1)[-1] or "*",
            "must_not_touch": limits["must_not_touch"] + sorted(locked - mine),
            "may_remove": self.params["may_remove"] + self.params["replaces"],
            "enable": limits["enable_repositories"],
            "erase": self.giving_way(),
        }
        erasing = ["--allowerasing"] if rules["may_remove"] else []
        unlocked = ["--disableplugin=versionlock"] if locked & mine else []
        names = [spec(request) for request in [*requested, *self.family_moves(requested)]]
        return self.dnf.guarded([*erasing, *unlocked, "install", *names], rules, **how)

    def settle(self, requested):
        """Installs the requested packages, or says why that cannot or may not be."""
        rc, out, err, report = self.tried(requested)
        self.refuse(report, requested)
        if rc not in (0, LOCKED):
            # The metadata may be older than what is requested.
            self.dnf.plain("clean", "expire-cache")
            rc, out, err, report = self.tried(requested)
            self.refuse(report, requested)
        self.must((rc, out, err), "dnf install {}".format(" ".join(requested)))
        if report is None:
            self.give_up(
                "dnf did not load the guard of its transaction",
                "Look for plugins=0 and pluginpath in /etc/dnf/dnf.conf.",
            )

    def rehearsed(self, requested):
        """What dnf would do, once it is known to be allowed; where no repository offers it yet, what is requested."""
        _rc, _out, _err, report = self.tried(requested, rehearse=True)
        self.refuse(report, requested)
        return report["steps"] if report else ["Inst " + request for request in requested]

    def refuse(self, report, requested):
        """Gives up when the transaction would do what it must not."""
        names = ", ".join(requested)
        if report and report["touched"]:
            name = report["touched"][0]
            self.give_up(
                f"Installing {names} would also install, upgrade or remove {name}, which must stay as it is",
                "Bring the kernel up to date first (dnf upgrade, reboot), or lift its versionlock; then run again.",
            )
        if report and report["removed"]:
            name = report["removed"][0]
            self.give_up(
                f"Installing {names} would remove {name}",
                f"Remove {name} yourself if you do not need it, or name the packages to use in the role's packages variable.",
            )

    def giving_way(self):
        """Installed packages that the requested ones replace."""
        return [
            name for name in sorted(self.known) if name not in self.names and matches(name, self.params["replaces"])
        ]

    def family_moves(self, requested):
        """The leading package's family moves with it."""
        lead = self.params["same_version_as"]
        version = dict(request.partition("=")[::2] for request in requested).get(lead)
        relatives = self.family(rpm_database.installed(self.known)) if version else []
        return [f"{name}={version}" for name in relatives if name not in self.names]

    def mine(self, requested):
        """Packages whose locks may be set aside; what somebody else locked stays as it is."""
        named = {request.partition("=")[0] for request in [*requested, *self.params["along"]]}
        return named.union(self.names, self.family(rpm_database.installed(self.known)))

    def hold(self):
        """(what was done, packages that belong to the hold)."""
        hold = self.params["hold"]
        if hold is None:
            return [], []
        versions = rpm_database.installed(self.known)
        members = self.to_hold(versions)
        locked = rpm_query.locks()
        if hold:
            concerned = [*members, *pinned(self.along(), hold)]
            todo = [name for name in concerned if locked.get(name) != [versions[name]]]
        else:
            todo = [name for name in members if name in locked]
        if todo and not self.check_mode:
            self.need_versionlock(hold)
            add = {name: versions[name] for name in todo} if hold else {}
            write(rpm_query.LOCKLIST, rpm_database.locklist_with(add, todo), 0o644)
            self.known = rpm_database.packages()
        verb = "Hold" if hold else "Unhold"
        return [f"{verb} {name}" for name in todo], members if hold else []

    def need_versionlock(self, hold):
        """dnf reads the list through a plugin, which dnf-automatic loads too."""
        if hold and text_of(os.path.join(os.path.dirname(rpm_query.LOCKLIST), "versionlock.conf")) is None:
            self.must(self.dnf.plain("install", VERSIONLOCK), f"dnf install {VERSIONLOCK}")

    def along(self):
        """{request: version} of what later calls will want and find installed."""
        versions = rpm_database.installed(self.known)
        streams = [one[1:] for one in self.params["along"] if one.startswith(STREAM)]
        found = {STREAM + one: one for one in streams if enabled_stream(one.split(":")[0]) == one.split(":")[1]}
        packages = [one for one in self.params["along"] if not one.startswith(STREAM)]
        return {**found, **{one: versions[one.partition("=")[0]] for one in packages if self.is_there(one, versions)}}

    def requested_versions(self):
        versions = rpm_database.installed(self.known)
        return {name: versions.get(name, "") for name in self.names}
