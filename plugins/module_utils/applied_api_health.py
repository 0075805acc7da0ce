"""What an API says of its own health, which it has of its recent requests, and whether that is still true.

It forgets when it starts anew. Where no requests come, as behind a proxy that took it out, it stays as it is for ever.
"""

# States in which too many of them failed. (Deepgram: /v1/status)
FAILED_MANY = ("Degraded", "Critical")


def reproach(said, api_started, engine_started):
    """The state in which an API blames itself for what is over, or "". said: what it says at /v1/status.

    That is so where its Engine started after it (seconds since 1970). Where its Engines are on other servers (None), it
    counts as over when there are no requests that could change its mind.
    """
    state = said.get("system_health") if isinstance(said, dict) else None
    if state not in FAILED_MANY:
        return ""
    return state if (idle(said) if engine_started is None else engine_started > api_started) else ""


def idle(said):
    active = [count for name, count in said.items() if name.startswith("active_")]
    return bool(active) and not any(active)
