"""What tests of benches share."""

import pytest

from dgctl.bench import search


@pytest.fixture
def steady(monkeypatch):
    """A machine that is busy with other tests is no server that changes, and sends late: test_search.py asks what tells those."""
    monkeypatch.setattr(search, "void", lambda window, bounds: "")
    monkeypatch.setattr(search, "unsteady", lambda window, bounds: "")
    monkeypatch.setattr(search, "differ", lambda one, other: False)
    monkeypatch.setattr(search.Search, "_confirm", lambda self: None)
