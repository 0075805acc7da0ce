"""The lab: simulated GPU servers and stand-in services on one Linux machine. Never shipped in the wheel."""
