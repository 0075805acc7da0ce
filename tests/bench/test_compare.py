"""`bench --compare`: kept results by what was measured, each beside the release before."""

import json

from click.testing import CliRunner

from dgctl.bench import compare, retained
from dgctl.cli import main
from tests.bench.test_retained import DOCUMENT, keep
from tests.unit.conftest import folder  # noqa: F401 - a deployment of gpu1 and gpu2


def one(place, day, holds, host="gpu1", release="release-260812", **changes):
    moment = f"202611{day:02}T080000Z"
    kind = changes.get("kind", "streams")
    about = DOCUMENT["about"] | {"release": release} | changes.pop("about", {})
    keep(place, f"{moment}-{host}-{kind}", host=host, moment=moment, holds=holds, about=about, **changes)


def rows(place):
    return compare.rows(retained.read(place)[0])


def test_equal_servers_are_one_row_each_with_its_newest_result(tmp_path):
    one(tmp_path, 1, 99)
    one(tmp_path, 2, 40)
    one(tmp_path, 3, 44, host="gpu2")
    (row,) = rows(tmp_path)
    assert (row.servers, row.low, row.high, row.moment, row.before) == (2, 40, 44, "20261103T080000Z", None)


def test_a_release_is_compared_with_the_one_before_it(tmp_path):
    one(tmp_path, 1, 100, release="release-260714")
    one(tmp_path, 2, 80)
    one(tmp_path, 3, 82, release="release-260826")
    found = rows(tmp_path)
    assert [row.release[-6:] for row in found] == ["260714", "260812", "260826"]
    assert [row.change for row in found] == [None, -0.2, 0.0], "82 beside 80 is within what a bench itself may miss"


def test_other_gpus_models_kinds_and_lengths_are_not_compared(tmp_path):
    one(tmp_path, 1, 100, release="release-260714")
    one(tmp_path, 2, 80, about={"gpus": "NVIDIA L4"})
    one(tmp_path, 3, 80, about={"model": "nova-2-general"})
    one(tmp_path, 4, 80, kind="files", file_s=300)
    one(tmp_path, 5, 80, kind="files", file_s=60, release="release-260826")
    assert [row.change for row in rows(tmp_path)] == [None] * 5


def test_what_held_nothing_is_compared_with_nothing(tmp_path):
    one(tmp_path, 1, 0, release="release-260714")
    one(tmp_path, 2, 80)
    assert [row.change for row in rows(tmp_path)] == [None, None]


def test_the_verb_measures_nothing(folder, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    (folder / ".dgctl").mkdir(mode=0o700)
    one(folder / ".dgctl/bench", 1, 50, release="release-260714")
    one(folder / ".dgctl/bench", 2, 40)
    one(folder / ".dgctl/bench", 3, 60, kind="files", file_s=300)
    (folder / ".dgctl/bench/bad.json").write_text("{")
    shown = CliRunner().invoke(main, ["bench", "inventory.ini", "--compare", "--streams"])
    assert shown.exit_code == 0 and "40 streams  -20%" in shown.stdout and "files a minute" not in shown.stdout
    assert "bad.json" in shown.output
    reported = json.loads(CliRunner().invoke(main, ["bench", "inventory.ini", "--compare", "--json"]).stdout)
    assert [row["low"] for row in reported["benches"]] == [60, 50, 40]
