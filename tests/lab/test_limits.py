"""Many servers get the limits that they need; few leave the machine as it is."""

from pathlib import Path

from lab import limits


def fill(root: Path, value: int) -> None:
    for name in limits.NEEDED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{value}\n")


def values(root: Path) -> list[int]:
    return [int((root / name).read_text()) for name in limits.NEEDED]


def test_many_servers_raise_what_is_lower(tmp_path, capsys):
    fill(tmp_path, 100)
    limits.ensure(40, tmp_path)
    assert values(tmp_path) == list(limits.NEEDED.values())
    assert "fs.inotify.max_user_instances on this machine from 100" in "".join(capsys.readouterr())


def test_what_is_higher_and_few_servers_change_nothing(tmp_path, capsys):
    fill(tmp_path, 10**8)
    limits.ensure(40, tmp_path)
    assert values(tmp_path) == [10**8] * len(limits.NEEDED)
    fill(tmp_path, 1)
    limits.ensure(2, tmp_path)
    assert values(tmp_path) == [1] * len(limits.NEEDED)
    assert "".join(capsys.readouterr()) == ""
