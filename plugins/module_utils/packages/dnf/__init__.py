"""Packages by dnf."""
