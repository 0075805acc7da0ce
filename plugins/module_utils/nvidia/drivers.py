"""Which NVIDIA driver fits which GPUs: its branch, and the flavour of its kernel module.

Reads tables only, and imports nothing of Ansible's: it runs on hosts, on the controller and for the reference pages.
A model is a row of _platform_gpus: {name, compute_capability, generation, ...}. Branches are strings such as "580".
"""

from __future__ import annotations

AUTO = "auto"
ENDED = "past"  # support has ended in a month that nobody here knows


def number(version):
    """(7, 5) for "7.5", so that 10.0 is more than 9.0."""
    return tuple(int(part) for part in str(version).split("."))


class Drivers:
    """The tables _platform_branches and _platform_generations, asked. `month`: this month, as "2026-11".

    `offered`: the branches that the host's source has, None for all; others are never named as what works instead.
    """

    def __init__(self, branches, generations, month, offered=None):
        self.branches, self.generations, self.month = branches, generations, month
        self.offered = branches if offered is None else offered

    number = staticmethod(number)

    def generation(self, model):
        """(name, row) by the name that the model has, else by its compute capability; ("", {}) for none."""
        named = model.get("generation")
        if named in self.generations:
            return named, self.generations[named]
        capability = number(model["compute_capability"])
        old_enough = [
            (number(row["compute_capability"]), name)
            for name, row in self.generations.items()
            if number(row["compute_capability"]) <= capability
        ]
        name = max(old_enough)[1] if old_enough else ""
        return name, self.generations.get(name, {})

    def rule(self, model):
        """{modules, first, last} of a model; first and last are numbers of branches."""
        row = {**self.generation(model)[1], **model}
        return {
            "modules": row.get("modules", []),
            "first": int(row.get("first_branch", 0)),
            "last": int(row.get("last_branch", 9999)),
        }

    def flavours(self, branch, models):
        """The flavours in which this branch drives every one of the models, the better one first."""
        rules = [self.rule(model) for model in models]
        if branch not in self.branches or any(not rule["first"] <= int(branch) <= rule["last"] for rule in rules):
            return []
        had = self.branches[branch]["modules"]
        return [flavour for flavour in had if all(flavour in rule["modules"] for rule in rules)]

    def chosen(self, branch, flavour, models):
        """The flavour to install: the one asked for, or with "auto" the best; "" where that does not work."""
        fitting = self.flavours(branch, models)
        if flavour == AUTO:
            return fitting[0] if fitting else ""
        return flavour if flavour in fitting else ""

    def ended(self, branch):
        """Since when NVIDIA does not support the branch any more: "2026-06", "past", or "" while it does."""
        ends = self.branches.get(branch, {}).get("ends", "")
        return ends if ends == ENDED or (ends and ends < self.month) else ""

    def described(self, branch):
        """ "580 (long-term, supported to 2028-06)"."""
        row = self.branches.get(branch)
        if row is None:
            return f"{branch} (unknown)"
        ended, ends = self.ended(branch), row.get("ends")
        support = {ENDED: "its support has ended"}.get(ended, f"its support ended in {ended}") if ended else ""
        support = support or (f"supported to {ends}" if ends else "its support's end is not known")
        return "{} ({})".format(branch, ", ".join(filter(None, [row.get("designation"), support])))

    def nearest(self, branch, flavour, models):
        """(branch, flavour) next to the wanted one that drives every model, or None.

        One that NVIDIA supports comes before one whose end is unknown, that before one that has ended; then the
        wanted flavour; then the least distance.
        """
        desired = int(branch) if str(branch).isdigit() else 0
        found = [
            (
                bool(self.ended(one)),
                not row.get("ends"),
                other not in (flavour, AUTO),
                abs(int(one) - desired),
                one,
                other,
            )
            for one, row in self.branches.items()
            if one in self.offered
            for other in self._ways(one, flavour, models)
        ]
        return min(found)[-2:] if found else None

    def _ways(self, branch, flavour, models):
        """Flavours of a branch: with "auto" only the one that it would come to."""
        fitting = self.flavours(branch, models)
        return fitting[:1] if flavour == AUTO else fitting

    def needs(self, models):
        """What each model asks for, in words: "Tesla P40 (Pascal): proprietary module, branch 580 or older"."""
        words = {}
        for model in models:
            rule = self.rule(model)
            modules = " or ".join(rule["modules"]) or "unknown"
            bounds = [f"branch {rule['first']} or newer"] if rule["first"] else []
            bounds += [f"branch {rule['last']} or older"] if rule["last"] < 9999 else []
            generation = self.generation(model)[0] or "unknown generation"
            words[model["name"]] = "{} ({}): {}".format(
                model["name"], generation, ", ".join([f"{modules} kernel module", *bounds])
            )
        return [words[name] for name in sorted(words)]

    def problem(self, branch, flavour, models):
        """(what is wrong, what works) with a wanted branch and flavour ("auto", "open", "proprietary"), or None."""
        if branch in self.branches and self.chosen(branch, flavour, models):
            return None
        near = self.nearest(branch, flavour, models)
        if branch not in self.branches:
            what = f"Branch {branch} is not in the table of driver branches"
        elif not models:
            what = f"Branch {branch} has no {flavour} kernel module"
        else:
            module = "" if flavour == AUTO else f" with the {flavour} kernel module"
            unfit = [model for model in models if not self.chosen(branch, flavour, [model])] or models
            names = ", ".join(sorted({model["name"] for model in unfit}))
            what = f"Branch {branch}{module} does not drive {names}"
        if near is None:
            elsewhere = any(self.flavours(one, models) for one in self.branches)
            return what, (
                "No branch that this system's source has drives them: change nvidia_driver_source, or the system"
                if elsewhere
                else "No driver drives all of these GPUs: take one kind of them out of the host"
            )
        return what, self.advice(branch, flavour, near)

    def advice(self, branch, flavour, near):
        """The variables to set for the nearest that works."""
        settings = [f'nvidia_driver_branch to "{near[0]}"'] if near[0] != branch else []
        settings += [f"nvidia_driver_kernel_module to auto or {near[1]}"] if flavour not in (AUTO, near[1]) else []
        with_module = "" if near[1] == "open" else f" (with the {near[1]} kernel module)"
        return "Set {}{}".format(" and ".join(settings), with_module)
