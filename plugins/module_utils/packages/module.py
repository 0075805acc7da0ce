"""What apt_packages and dnf_packages do alike: their arguments, their two transactions, what they answer."""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host.outcome import fail
from ansible.module_utils.packages.versions import pinned

ARGUMENTS = {
    "packages": {"type": "list", "elements": "str", "required": True},
    "first": {"type": "list", "elements": "str", "default": []},
    "first_replaces": {"type": "list", "elements": "str", "default": []},
    "along": {"type": "list", "elements": "str", "default": []},
    "kernel_headers": {"type": "bool", "default": False},
    "kernel_modules": {"type": "str", "default": ""},
    "hold": {"type": "bool"},
    "hold_also": {"type": "list", "elements": "str", "default": []},
    "same_version_as": {"type": "str"},
    "must_not_touch": {"type": "list", "elements": "str", "default": []},
    "may_remove": {"type": "list", "elements": "str", "default": []},
    "replaces": {"type": "list", "elements": "str", "default": []},
    "lists_max_age_s": {"type": "int", "default": 86400},
    "lock_timeout_s": {"type": "int", "default": 600},
}
NO_LIMITS = {"along": [], "must_not_touch": [], "may_remove": [], "same_version_as": None, "hold_also": []}


def carry_out(transaction):
    """Does it and holds; (steps of the package manager, steps of the hold, what is held)."""
    steps = transaction.install()
    return (steps, *transaction.hold())


def run(transaction_class, installed, for_kernel, **more_arguments):
    """The module's main.

    transaction_class(params, check_mode, fail): install(), hold(), finish_interrupted(), along(), requested_versions(), known.
    installed(known): {package: version}. for_kernel(params, known): packages that belong to the host's kernels.
    """
    module = AnsibleModule(argument_spec={**ARGUMENTS, **more_arguments}, supports_check_mode=True)
    params = module.params

    def begin(**changes):
        return transaction_class({**params, **changes}, module.check_mode, lambda what, fix: fail(module, what, fix))

    before = begin(packages=params["first"], replaces=params["first_replaces"], **NO_LIMITS)
    repaired = before.finish_interrupted()
    at_first = installed(before.known)
    first = carry_out(before)
    transaction = begin(packages=params["packages"] + for_kernel(params, before.known))
    steps, held_now, held = (one + other for one, other in zip(first, carry_out(transaction)))
    along = transaction.along()
    diff = "".join(step + "\n" for step in steps + held_now)
    module.exit_json(
        changed=bool(repaired or steps or held_now),
        transaction=steps,
        added=sorted(set(installed(transaction.known)) - set(at_first)),
        held=held,
        along=along,
        along_held=pinned(along, params["hold"]),
        installed=transaction.requested_versions(),
        diff={"before": "", "after": diff} if diff else {},
    )
