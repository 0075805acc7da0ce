"""One apt transaction: what is missing, what apt would do about it, whether that is allowed, and doing it."""

import fnmatch

from ansible.module_utils.packages import family as packages_family
from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.packages.apt import lists as apt_lists
from ansible.module_utils.packages.apt.advice import REFUSED, STALE, advice, errors
from ansible.module_utils.packages.apt.command import Apt, guard
from ansible.module_utils.packages.apt.holds import Holds
from ansible.module_utils.packages.apt.rehearsal import Rehearsal
from ansible.module_utils.packages.versions import Family, satisfied, steps_between

KEEP_OTHERS = ("-o", "APT::Get::List-Cleanup=0")


class Transaction(Rehearsal, Holds, Family):
    """params are those of the module apt_packages; give_up(what, fix) does not return."""

    def __init__(self, params, check_mode, give_up):
        self.params, self.check_mode, self.give_up = params, check_mode, give_up
        self.names = [request.partition("=")[0] for request in params["packages"]]
        self.apt, self.known = Apt(params["lock_timeout_s"]), dpkg.packages()

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
        """The requested packages that are not satisfied."""
        versions = dpkg.installed(self.known)
        return [request for request in self.params[kind] if not satisfied(request, versions)]

    def giving_way(self):
        """Installed packages to be replaced, as apt-get wants them: name-."""
        return [
            name + "-"
            for name in sorted(dpkg.installed(self.known))
            if name not in self.names and any(fnmatch.fnmatchcase(name, pattern) for pattern in self.params["replaces"])
        ]

    def install(self):
        """Installs what is missing; returns the steps, as "Inst name" or "Remv name"."""
        requested = [*self.missing(), *self.strayed()]
        if not requested:
            return []
        arguments = ["install", *requested, *self.family_moves(requested), *self.giving_way()]
        self.refresh_lists()
        if self.check_mode:
            return self.checked_steps(arguments, requested)
        self.wait()
        self.release_others()
        before = dpkg.installed(self.known)
        if not self.install_with_others(arguments) and not self.install_unrehearsed(arguments):
            self.install_rehearsed(arguments, requested)
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
        return self.apt.do(["--no-remove", *guard(self.params["must_not_touch"]), *arguments])

    def install_rehearsed(self, arguments, requested):
        """The long way: what apt would do is looked at before it does it."""
        self.checked_steps(arguments, requested)
        rc, out, err = self.apt.do(arguments)
        if rc != 0 and STALE.search(err):
            self.update()
            self.checked_steps(arguments, requested)
            rc, out, err = self.apt.do(arguments)
        if rc != 0:
            self.failed(arguments, rc, out, err)

    def failed(self, arguments, rc, out, err):
        self.give_up("apt-get {}: {}".format(" ".join(arguments), errors(rc, out, err)), advice(out + err))

    def strayed(self):
        """Requests for packages that were moved without the rest of their family, by hand or past a hold."""
        lead, versions = self.params["same_version_as"], dpkg.installed(self.known)
        request = next((request for request in self.params["packages"] if request.partition("=")[0] == lead), None)
        if request is None or not satisfied(request, versions):
            return []  # the family moves anyway
        return packages_family.moves(
            lead, versions, lambda version: satisfied(request, {lead: version}), packages_family.offers
        )

    def family_moves(self, requested):
        """The leading package's family moves with it: apt takes no dependency back to an older version."""
        lead, versions = self.params["same_version_as"], dpkg.installed(self.known)
        version = dict(request.partition("=")[::2] for request in requested).get(lead)
        asked = [request.partition("=")[0] for request in requested]
        relatives = [*self.family(versions), *packages_family.strays(lead, versions)] if version else []
        return [f"{name}={version}" for name in relatives if name not in [*self.names, *asked]]

    def refresh_lists(self):
        """Fetches lists that are old; of young ones only those of repositories that were added since."""
        if apt_lists.age() > self.params["lists_max_age_s"]:
            self.update()
            return
        for path in apt_lists.newer_sources():
            alone = ("-o", f"Dir::Etc::sourcelist={path}", "-o", "Dir::Etc::sourceparts=-", *KEEP_OTHERS)
            self.update(*alone, fatal=False)  # one that fails and is needed shows when apt looks for the packages

    def update(self, *options, fatal=True):
        """Fetches the lists; a repository that fails is fatal only if it has what is requested."""
        if self.check_mode:
            return
        rc, out, err = self.apt.update(*options)
        if rc != 0 and fatal:
            self.give_up(f"apt-get update: {errors(rc, out, err)}", advice(err))

    def along(self):
        """{request: version} of what later calls will want and find installed."""
        versions = dpkg.installed(self.known)
        requested = (request for request in self.params["along"] if satisfied(request, versions))
        return {request: versions[request.partition("=")[0]] for request in requested}

    def requested_versions(self):
        versions = dpkg.installed(self.known)
        return {name: versions.get(name, "") for name in self.names}
