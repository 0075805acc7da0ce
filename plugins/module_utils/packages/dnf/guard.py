"""A plugin of dnf: keeps packages at the driver's version, and stops a transaction before it does what it must not.

dnf loads this file itself, with its own Python (3.6 on EL 8); the module only hands over the text and a file with the request.
"""

import fnmatch
import json
import os
import sys

DNF = sys.modules.get("dnf")  # there in dnf, and not in the module
REQUEST = "DEPLOYMENT_GUARD"  # the environment variable with the path of the file


class Guard(DNF.Plugin if DNF else object):
    """request: report (a path), enable (ids of repositories), erase (packages), lead, version; patterns as must_not_touch and
    may_remove.
    """

    name = "deployment_guard"

    def __init__(self, base, cli):
        super().__init__(base, cli)
        self.base, self.ready = base, False
        with open(os.environ[REQUEST]) as stream:
            self.request = json.load(stream)

    def config(self):
        """Repositories that only this transaction may use."""
        for name in self.request["enable"]:
            for repository in self.base.repos.get_matching(name):
                repository.enable()

    def sack(self):
        """What gives way goes. The lead is requested at some versions only: nothing of its family comes at another one."""
        for name in self.request["erase"]:
            self.base.remove(name)
        if self.request["lead"]:
            self.keep_versions()
        self.ready = True

    def keep_versions(self):
        """Takes the unwanted versions of the lead, and all that has one of them, out of sight."""
        offered = self.base.sack.query().available()
        leads = list(offered.filter(name=self.request["lead"]))
        right = {package.version for package in leads if self._desired(package)}
        wrong = {package.version for package in leads} - right
        if wrong:
            self.base.sack.add_excludes(offered.filter(version=sorted(wrong)))

    def _desired(self, package):
        return fnmatch.fnmatchcase(package.version + "-" + package.release, self.request["version"])

    def resolved(self):
        """Says what would be done; ends dnf where that is not allowed."""
        if not self.ready:  # dnf goes on after most errors of a plugin
            raise DNF.exceptions.Error("the guard of this transaction did not come to its work")
        coming = sorted({package.name for package in self.base.transaction.install_set})
        going = sorted({package.name for package in self.base.transaction.remove_set} - set(coming))
        touched = [name for name in coming + going if matches(name, self.request["must_not_touch"])]
        removed = [name for name in going if not matches(name, self.request["may_remove"])]
        steps = ["Inst " + name for name in coming] + ["Remv " + name for name in going]
        with open(self.request["report"], "w") as stream:
            json.dump({"steps": steps, "touched": touched, "removed": removed}, stream)
        if touched or removed:
            raise DNF.exceptions.Error("this transaction is not allowed: " + ", ".join(touched + removed))


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
