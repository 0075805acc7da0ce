"""What an API says of itself at /v1/status: its health, which it has of its recent requests, and those that it has now.

It forgets when it restarts. Where no requests come, as behind a proxy that took it out, it stays as it is for ever.
"""

SERVING = ("Ready", "Healthy")
FAILED_MANY = ("Degraded", "Critical")  # too many of its recent requests did


def state(reported):
    """The name of its health; None where it does not say."""
    return reported.get("system_health") if isinstance(reported, dict) else None


def active(reported):
    """How many requests it has now, of every kind; None where it does not say."""
    counts = reported.items() if isinstance(reported, dict) else ()
    numbers = [count for name, count in counts if name.startswith("active_") and isinstance(count, int)]
    return sum(numbers) if numbers else None


def reproach(reported, started):
    """The state in which an API blames itself for what is over, or "".

    started(part): seconds since 1970 at which `api` or `engine` started; 0: it does not run, None: it is not to run here.
    It is over where the Engine started after the API. Where the Engines are on other servers, it counts as over when
    there are no requests that could change its mind.
    """
    if state(reported) not in FAILED_MANY:
        return ""
    engine = started("engine")
    return state(reported) if (active(reported) == 0 if engine is None else engine > (started("api") or 0)) else ""
