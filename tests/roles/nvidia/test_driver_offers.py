"""Which drivers a host could install: asked without touching its lists, and only of the driver's own source."""

import pytest


@pytest.fixture
def host(program, tmp_path, monkeypatch):
    log = tmp_path / "log"
    log.write_text("")
    program(
        "apt-get",
        f"echo apt-get $* >> {log}; [ ! -e {tmp_path}/broken ] || {{ echo 'E: no network' >&2; exit 100; }}\n",
    )
    versions = ("580.173.02-1", "1:595.91.07-1", "580.95.05-1")
    rows = "; ".join(f"echo ' nvidia-open | {version} | x'" for version in versions)
    program("apt-cache", f"[ -e {tmp_path}/broken ] || {{ {rows}; }}\n")
    program("dpkg-query", "printf 'nvidia-open\\tamd64\\t580.95.05-1\\thold\\tinstalled\\n'\n")
    source = tmp_path / "nvidia-driver.sources"
    source.touch()
    return tmp_path, source, log


def test_versions_of_the_driver_s_source(host, call):
    _, source, log = host
    result = call("nvidia_driver_offers", package="nvidia-open", source=str(source))
    assert result["driver_offers"] == ["580.95.05", "580.173.02", "595.91.07"]
    assert result["driver_installed"] == "580.95.05" and not result["changed"]
    assert f"Dir::Etc::sourcelist={source}" in log.read_text() and "Dir::State::Lists=/" in log.read_text()


def test_a_host_without_the_source_offers_nothing(host, call):
    folder, _, log = host
    result = call("nvidia_driver_offers", package="nvidia-open", source=str(folder / "none"))
    assert result["driver_offers"] == [] and log.read_text() == ""


def test_a_source_that_does_not_answer(host, call):
    folder, source, _ = host
    (folder / "broken").touch()
    result = call("nvidia_driver_offers", package="nvidia-open", source=str(source))
    assert result["failed"] and "no network" in result["msg"]
