"""Minimums of a host: what the user set, what is usual for what the host is to serve, and which of both counts."""

from ansible.module_utils.nvidia.drivers import number

INTEGERS = ("cpu_cores", "memory_mb", "disk_gb", "gpu_memory_mb", "gpu_count")


def as_numbers(values):
    """Inventory values may be strings."""
    return {key: int(value) if key in INTEGERS else str(value) for key, value in values.items()}


def effective(minimums, base, usual):
    """What the user set counts; what nobody set follows what the host is to serve.

    What was lowered for Engines raises nothing on a host that needs less.
    """
    found = {key: value if value != base[key] else usual[key] for key, value in minimums.items()}
    low = [key for key, value in minimums.items() if number(value) < number(base[key])]
    return {**found, **{key: min(found[key], usual[key], key=number) for key in low}}


def lowered(minimums, usual):
    """The minimums that somebody set below the usual ones."""
    low = [key for key in sorted(usual) if number(minimums[key]) < number(usual[key])]
    return [{"name": "preflight_min_" + key, "value": minimums[key], "usual": usual[key]} for key in low]
