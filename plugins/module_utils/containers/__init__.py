"""Containers and their registries."""
