"""Asks systemd about a unit and has it do something; apart from host/units.py because a look loads no subprocess."""

from ansible.module_utils.host.outcome import fail, last_line, run
from ansible.module_utils.host.units import blocks, show


def properties(unit, *names):
    """What systemd says about a unit, by property; {} where there is no systemd."""
    return blocks(run(show([unit], *names))[1])[0]


def systemctl(module, unit, fix, *words, timeout=120):
    """Runs systemctl; where that fails, the module ends with its complaint and what the unit logged last."""
    argv = ["systemctl", *words]
    expect_success(module, unit, fix, argv, run(argv, timeout=timeout))


def expect_success(module, unit, fix, argv, reported):
    """The same for a command that ended with `reported`: (exit status, stdout, stderr)."""
    rc, out, err = reported
    if rc != 0:
        words = " | ".join(filter(None, [last_line(err) or last_line(out), journal(unit)]))
        fail(module, f"{' '.join(argv)}: {words}", fix)


def restart(module, unit, fix):
    """Has systemd read the unit's files, start it at boot, and run it with them now."""
    systemctl(module, unit, fix, "daemon-reload")
    # A unit that ended several times for a fault of its files is given up by systemd.
    run(["systemctl", "reset-failed", unit])
    systemctl(module, unit, fix, "enable", unit)
    systemctl(module, unit, fix, "restart", unit)


def journal(unit):
    """The last lines that a unit logged, on one line: the last of all is often only systemd's own."""
    out = run(["journalctl", "-u", unit, "-n", "5", "--no-pager", "-o", "cat"])[1]
    return " | ".join(line.strip() for line in out.splitlines() if line.strip())[-400:]
