"""How old apt's lists are, and which repositories are newer."""

import os

from ansible.module_utils.packages.apt import lists as apt_lists


def test_repositories_added_since_the_lists_were_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(apt_lists, "STAMP", str(tmp_path / "none"))
    lists, sources = tmp_path / "lists", tmp_path / "sources"
    for number, folder in enumerate((sources, lists, lists / "partial")):
        folder.mkdir()
        os.utime(folder, (1000 + number, 1000 + number))
    for name, written in (("old.list", 900), ("new.sources", 2000), ("new.save", 2000)):
        (sources / name).touch()
        os.utime(sources / name, (written, written))
    os.utime(lists, (1500, 1500))
    assert apt_lists.newer_sources(str(lists), str(sources)) == [str(sources / "new.sources")]
