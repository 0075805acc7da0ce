"""Debian 12 and Ubuntu-like servers: stand-ins of what their vendors' repositories have, and of Docker's own."""
