"""Packed modules are kept between runs, for nobody else to touch, and never beyond a change of their source."""

import importlib.util
import os

import pytest

from tests.paths import PROJECT

SPEC = importlib.util.spec_from_file_location("module_cache", PROJECT / "plugins/callback/module_cache.py")
CACHE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(CACHE)


@pytest.fixture
def run(tmp_path):
    """run(number): the folder that a run with its own temporary folder gets for packed modules."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "one.py").write_text("1")

    def share(number):
        local = tmp_path / f"local-{number}"
        local.mkdir()
        CACHE.share(str(local), tmp_path / "home", [str(modules), str(tmp_path / "none")])
        return local / "ansiballz_cache"

    share.module, share.home = modules / "one.py", tmp_path / "home"
    return share


def test_next_run_finds_what_the_last_one_packed(run):
    first = run(1)
    (first / "one-ZIP_DEFLATED").write_text("packed")
    (first / "cut-off").touch()
    (first / "being-written").touch()
    os.utime(first / "cut-off", (1, 1))
    assert (run(2) / "one-ZIP_DEFLATED").read_text() == "packed"
    assert {path.name for path in first.iterdir()} == {"one-ZIP_DEFLATED", "being-written"}


def test_changed_module_is_packed_again_and_old_folders_go(run):
    first = run(1).resolve()
    run.module.write_text("2")
    second = run(2).resolve()
    assert second != first and first.exists()  # another run may be at work with it
    os.utime(first, (1, 1))
    run.module.write_text("3")
    run(3)
    assert second.exists() and not first.exists()


def test_folder_that_others_may_write_to_is_not_used(run):
    run.home.mkdir(mode=0o755)
    os.chmod(run.home, 0o777)
    with pytest.raises(PermissionError):
        run(1)
