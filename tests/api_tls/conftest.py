"""Lets these tests import the modules' utilities as Ansible does."""

from tests import utilities

utilities.use()
