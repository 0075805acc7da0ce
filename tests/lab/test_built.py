"""Repositories of stand-ins: what has them built again, that a build which dies leaves nothing, and links to them."""

import pytest

from lab.containers import built
from lab.home import Home


def test_another_file_or_word_has_them_built_again(tmp_path, monkeypatch):
    monkeypatch.setattr(built, "LAB", tmp_path)
    folder, file = tmp_path / "debs", tmp_path / "build.py"
    (folder / "__pycache__").mkdir(parents=True)
    file.write_text("x")
    before = built.digest([folder, file], "ABC", "tag")
    (folder / "__pycache__/one.pyc").write_text("x")
    assert built.digest([folder, file], "ABC", "tag") == before
    file.write_text("y")
    after = built.digest([folder, file], "ABC", "tag")
    assert len({before, after, built.digest([folder, file], "ABC", "other"), built.digest([folder], "ABC", "tag")}) == 4


def test_a_build_is_there_once_it_is_done(tmp_path, monkeypatch):
    home, desired, asked = Home(tmp_path), tmp_path / "apt/debs-1", []
    desired.parent.mkdir()

    def docker(*words, stdin):
        asked.append((words, stdin))
        (desired.with_suffix(".unfinished") / "Packages").write_text(str(len(asked)))
        if len(asked) == 1:
            raise SystemExit("killed")

    monkeypatch.setattr(built, "docker", docker)
    with pytest.raises(SystemExit):
        built.build(home, "tag", desired, "lab.debs.build /out")
    assert not desired.exists()
    built.build(home, "tag", desired, "lab.debs.build /out", "--volume=/a:/served:ro")
    assert (desired / "Packages").read_text() == "2" and not desired.with_suffix(".unfinished").exists()
    words, stdin = asked[1]
    assert stdin == "python3 -B -m lab.debs.build /out" and words[words.index("tag") - 1] == "--volume=/a:/served:ro"


def test_a_link_is_relative_and_follows_what_is_wanted(tmp_path):
    place = tmp_path / "current/nvidia/debian12"
    for name in ("debs-1", "debs-2"):
        (tmp_path / name).mkdir()
        built.link(place, tmp_path / name)
        assert not place.readlink().is_absolute() and place.resolve() == tmp_path / name
