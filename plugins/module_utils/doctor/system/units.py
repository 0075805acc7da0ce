"""The doctor on systemd's units that the roles recorded: do they run, and would they after a reboot."""

from ansible.module_utils.doctor.check import Check, healthy, listed, unhealthy, unknown
from ansible.module_utils.host.units import STATES

# Other checks inspect these, and report more.
ELSEWHERE = ("nginx.service", "deepgram-upstreams.service")


def units(host):
    declared = host.all_recorded("units")
    seen = {name: host.unit(name) for name in declared}
    if not any(seen.values()):
        return unknown("no unit is on record here" if not declared else "systemd does not say")
    wrong, commands = [], []
    for name, states in declared.items():
        for state in states:
            key, right = STATES[state]
            value = seen[name].get(key, "")
            elsewhere = name in ELSEWHERE and (state == "active" or value.startswith("masked"))
            if value in right or elsewhere:
                continue
            wrong.append(f"{name} is {value or 'not there'} instead of {state}")
            commands.append(remedy(name, state, value))
    if not wrong:
        return healthy(f"{len(declared)} units")
    return unhealthy(listed(wrong), fix="on the server: " + " && ".join(dict.fromkeys(commands)))


def remedy(name, state, value):
    """The command that brings a unit into a state."""
    unmask = f"systemctl unmask {name} && " if value.startswith("masked") else ""
    verb = {"active": "start", "inactive": "stop", "enabled": "enable", "disabled": "disable", "masked": "mask"}[state]
    return f"{unmask}systemctl {verb} {name}"


CHECKS = (
    Check(
        "units", units,
        "the units that the roles recorded: whether they run, and start at boot",
        "as the roles left them",
        "somebody stopped or disabled it: after the next reboot the service is not there",
        "dgctl provision; or on the server: systemctl enable --now UNIT",
        True, (), False,
        stands_on=("daemon.json",),
    ),
)  # fmt: skip
