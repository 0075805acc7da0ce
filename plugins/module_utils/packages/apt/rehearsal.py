"""A transaction of apt that is looked at before it is done: what would it touch, and is that allowed?"""

import fnmatch
import re

from ansible.module_utils.packages.apt import dpkg
from ansible.module_utils.packages.apt.advice import advice, errors, offered

STEP = re.compile(r"^(Inst|Remv) (\S+)", re.M)


class Rehearsal:
    """For a transaction with `params`, `known`, `check_mode`, `give_up`, `apt`, missing() and update()."""

    def checked_steps(self, arguments, requested):
        """What apt would do, once it is known to be allowed."""
        steps = self.rehearse(arguments)
        self.allow(steps, requested)
        return steps

    def rehearse(self, arguments):
        """What apt would do; lists that do not offer what is requested are fetched again."""
        rc, out, err = self.apt.rehearse(arguments)
        if rc != 0 and not self.check_mode:
            self.update()
            rc, out, err = self.apt.rehearse(arguments)
        if rc != 0 and not self.check_mode and "fix-broken" in err + out:
            dpkg.repair(self.params["lock_timeout_s"])
            self.known = dpkg.packages()
            rc, out, err = self.apt.rehearse(arguments)
        if rc != 0 and self.check_mode:
            return ["Inst " + request for request in self.missing()]
        if rc != 0:
            self.give_up(
                "apt cannot install {}: {}".format(", ".join(self.missing()), errors(rc, out, err)),
                advice(err + out) + offered(err),
            )
        return ["{} {}".format(*step) for step in STEP.findall(out)]

    def allow(self, steps, requested):
        """Gives up when the transaction would do what it must not."""
        for step in steps:
            what, name = step.split()[:2]
            touched = [pattern for pattern in self.params["must_not_touch"] if fnmatch.fnmatchcase(name, pattern)]
            if touched:
                self.give_up(
                    "Installing {} would also {} {}, which must stay as it is".format(
                        ", ".join(requested), "remove" if what == "Remv" else "install or upgrade", name
                    ),
                    "Bring the kernel up to date first (apt-get dist-upgrade, reboot), then run again.",
                )
            may_go = self.params["may_remove"] + self.params["replaces"]
            if what == "Remv" and not any(fnmatch.fnmatchcase(name, pattern) for pattern in may_go):
                self.give_up(
                    "Installing {} would remove {}".format(", ".join(requested), name),
                    (
                        f"Remove {name} yourself if you do not need it, or name the packages to use in "
                        f"the role's packages variable."
                    ),
                )
