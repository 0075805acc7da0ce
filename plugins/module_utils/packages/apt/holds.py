"""Holds around a transaction of apt: somebody else's released for its time and put back, and those that are wanted."""

import fnmatch

from ansible.module_utils.host.outcome import run
from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.packages.apt.advice import advice, errors
from ansible.module_utils.packages.versions import pinned


class Holds:
    """For a transaction with `params`, `known`, `check_mode`, `give_up` and a family."""

    released = ()

    def release_others(self):
        """Releases holds that somebody else put on packages which may have to go or to move; they are put back at the end."""
        versions = dpkg.installed(self.known)
        family = self.family(versions)
        along = [request.partition("=")[0] for request in self.params["along"]]
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

    def hold(self):
        """(what was done, packages that belong to the hold)."""
        versions = dpkg.installed(self.known)
        back = [name for name in self.released if name in versions]
        if back:
            self.mark("hold", back)
        if self.params["hold"] is None:
            return [], []
        members = self.to_hold(versions)
        desired = self.params["hold"]
        concerned = [*members, *pinned(self.along(), desired)]
        todo = [name for name in concerned if self.known[name]["held"] != desired and name not in back]
        verb = "hold" if desired else "unhold"
        if todo and not self.check_mode:
            self.mark(verb, todo)
        return [f"{verb.capitalize()} {name}" for name in todo], members if desired else []
