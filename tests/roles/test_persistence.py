"""The drop-in of the persistence daemon."""

import os

import nvidia_persistence

UNIT = "[Service]\nType=forking\nExecStart=/usr/bin/nvidia-persistenced --user nvpd --no-persistence-mode --verbose\n"


def test_drop_in_keeps_the_packaged_command():
    text = nvidia_persistence.drop_in(UNIT, True)
    assert text.endswith(
        "ExecStart=\nExecStart=/usr/bin/nvidia-persistenced --user nvpd --persistence-mode --verbose\n"
    )
    assert nvidia_persistence.drop_in(UNIT, False) == ""
    assert nvidia_persistence.drop_in(UNIT.replace("--no-persistence-mode ", ""), True) == ""


def test_drop_in_is_written_and_taken_away(tmp_path):
    path = str(tmp_path / "x.service.d/50.conf")
    text = nvidia_persistence.drop_in(UNIT, True)
    assert [nvidia_persistence.write(text, path) for _ in range(2)] == [True, False]
    os.chmod(path, 0o601)
    assert [nvidia_persistence.write(text, path) for _ in range(2)] == [True, False]
    assert [nvidia_persistence.write("", path) for _ in range(2)] == [True, False]
