"""What an API says of its own health, which it has of its recent requests."""

# States in which too many of them failed. (Deepgram: /v1/status)
FAILED_MANY = ("Degraded", "Critical")


def remembers(said, api_started, engine_started):
    """The state in which an API blames itself for what failed before its Engine started (seconds since 1970), or "".

    It forgets when it starts anew. Where no requests come, as behind a proxy that took it out, it stays so for ever.
    """
    state = said.get("system_health") if isinstance(said, dict) else None
    return state if state in FAILED_MANY and engine_started > api_started else ""
