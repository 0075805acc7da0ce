"""Packages of a host, whichever package manager it has."""
