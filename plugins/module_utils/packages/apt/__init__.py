"""Packages by apt and dpkg."""
