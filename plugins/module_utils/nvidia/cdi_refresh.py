"""The units that rewrite the CDI specification when the driver changes."""

from ansible.module_utils.host.outcome import run

UNITS = ("nvidia-cdi-refresh.path", "nvidia-cdi-refresh.service")


def restart():
    """(exit status, stdout, stderr) of systemctl.

    A unit that tried in vain, because its package came before the driver was loaded, may have used up its starts for now.
    """
    run(["systemctl", "reset-failed", *UNITS])
    return run(["systemctl", "restart", UNITS[1]], timeout=120)


def restart_if_enabled():
    """Has the specification written for the driver that is loaded now; whether that works the toolkit's role sees."""
    if run(["systemctl", "is-enabled", "--quiet", UNITS[1]])[0] == 0:
        restart()
