"""What an API says of itself at /v1/status: its health, which it has of its recent requests, and those that it has now.

It forgets when it restarts. Where no requests come, as behind a proxy that took it out, it stays as it is for ever.
"""

SERVING = ("Ready", "Healthy")
FAILED_MANY = ("Degraded", "Critical")  # too many of its recent requests did


def state(said):
    """The name of its health; None where it does not say."""
    return said.get("system_health") if isinstance(said, dict) else None


def active(said):
    """How many requests it has now, of every kind; None where it does not say."""
    counts = said.items() if isinstance(said, dict) else ()
    numbers = [count for name, count in counts if name.startswith("active_") and isinstance(count, int)]
    return sum(numbers) if numbers else None


def reproach(said, started):
    """The state in which an API blames itself for what is over, or "".

    started(part): seconds since 1970 at which `api` or `engine` started; 0: it does not run, None: it is not to run here.
    It is over where the Engine started after the API. Where the Engines are on other servers, it counts as over when
    there are no requests that could change its mind.
    """
    if state(said) not in FAILED_MANY:
        return ""
    engine = started("engine")
    return state(said) if (active(said) == 0 if engine is None else engine > (started("api") or 0)) else ""
