"""Fixtures of the proxy's tests."""

from .upstreams import proxy  # noqa: F401
